//! What the tests of people and the inventory stand on: a company of their own, and its admin.

use domain::access::{Actor, GLOBAL, Portfolio, Role};
use domain::error::{Code, Error};
use domain::gateway::clock::Clock;
use domain::intake::limits::Limits;
use domain::inventory::company::Company;
use domain::inventory::project::{NewProject, Project};
use domain::inventory::team::Team;
use domain::inventory::token::NewToken;
use domain::inventory::user::{NewUser, User};
use domain::signin::SignInSettings;
use domain::store::Db;
use domain::{Domain, Settings};
use support::{Database, Engine, NOW, World};
use uuid::Uuid;

pub struct Ground {
    pub domain: Domain,
    pub clock: Clock,
    /// The platform admin, acting for all.
    pub platform: Actor,
    pub company: Company,
    /// An admin of the company.
    pub admin: Actor,
    /// The database, where it is this ground's alone.
    alone: Option<Database>,
}

impl Ground {
    pub async fn new(world: &World) -> Self {
        Self::on(world.domain.clone(), world.clock.clone()).await
    }

    /// A ground without workers, whose statements are its test's alone.
    pub async fn alone() -> Self {
        let database = Database::fresh(Engine::Sqlite).unwrap();
        let clock = Clock::held(NOW);
        let settings = Settings {
            folder: database.folder.path().to_owned(),
            limits: Limits::default(),
            sign_in: SignInSettings::default(),
        };
        let db = Db::open(&database.url).await.unwrap();
        let ground = Self::on(Domain::new(db, clock.clone(), settings, clock.id()), clock).await;
        Self { alone: Some(database), ..ground }
    }

    async fn on(domain: Domain, clock: Clock) -> Self {
        let setup = Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "setup") };
        let unique = clock.id().simple().to_string();
        let root = NewUser {
            email: format!("root-{unique}@example.org"),
            name: "Root".into(),
            grant: None,
            platform_admin: true,
        };
        let root = domain.user_create(&setup, root).await.unwrap();
        let platform = sign_in(&domain, GLOBAL, &root).await;
        let company = domain.company_create(&platform, &format!("Acme {unique}"), false).await.unwrap();
        let mut ground = Self { domain, clock, admin: platform.clone(), platform, company, alone: None };
        ground.admin = ground.member("Ada", Role::Admin, Portfolio::Whole).await;
        ground
    }

    /// The database of a ground that stands alone.
    pub fn url(&self) -> &str {
        &self.alone.as_ref().unwrap().url
    }

    /// A new member of the company, signed in.
    pub async fn member(&self, name: &str, role: Role, portfolio: Portfolio) -> Actor {
        self.member_of(&self.company, name, role, portfolio).await
    }

    pub async fn member_of(&self, company: &Company, name: &str, role: Role, portfolio: Portfolio) -> Actor {
        let email = self.address(name);
        let new = NewUser { email, name: name.into(), grant: Some((role, portfolio)), platform_admin: false };
        let user = self.domain.user_create(&Actor::system(company.id, "setup"), new).await.unwrap();
        sign_in(&self.domain, company.id, &user).await
    }

    /// An address that nobody else has.
    pub fn address(&self, name: &str) -> String {
        format!("{name}-{}@example.org", self.clock.id().simple()).to_lowercase()
    }

    /// Another company, and an admin of it.
    pub async fn neighbour(&self) -> (Company, Actor) {
        let name = format!("Neighbour {}", self.clock.id().simple());
        let company = self.domain.company_create(&self.platform, &name, false).await.unwrap();
        let admin = self.member_of(&company, "Nia", Role::Admin, Portfolio::Whole).await;
        (company, admin)
    }

    pub async fn project(&self, name: &str) -> Project {
        let new = NewProject { name: name.into(), description: None };
        self.domain.project_create(&self.admin, new).await.unwrap()
    }

    pub async fn team(&self, name: &str, members: &[Uuid]) -> Team {
        self.domain.team_create(&self.admin, name, members).await.unwrap()
    }
}

/// The actor that a fresh token of `user` makes.
pub async fn sign_in(domain: &Domain, company: Uuid, user: &User) -> Actor {
    let (_, secret) = token_of(domain, company, user).await;
    domain.authenticate(&secret, None, None).await.unwrap()
}

/// A fresh token of `user`: its id and its text.
pub async fn token_of(domain: &Domain, company: Uuid, user: &User) -> (Uuid, String) {
    let new = NewToken {
        holder: Some(domain::inventory::token::Holder::User(user.id)),
        name: "test".into(),
        scopes: None,
        life: None,
    };
    let mut setup = Actor::system(company, "setup");
    if company == GLOBAL {
        setup.role = Role::PlatformAdmin;
    }
    let (token, secret) = domain.token_create(&setup, new).await.unwrap();
    (token.id, secret.reveal().to_owned())
}

/// Demands that a call was refused with `code`, and returns the error.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>, code: Code) -> Error {
    let error = result.expect_err("the call is refused");
    assert_eq!(error.code, code, "{error}");
    error
}
