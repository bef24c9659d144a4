//! The first admin: where there is nobody, a link that the server prints makes a company and who
//! administers it. There is no default password.

use super::Visitor;
use super::link::{self, Acceptance, Link, Purpose};
use super::password;
use super::secret::{LINK, Secret};
use super::session::{self, Granted};
use crate::Domain;
use crate::access::{Actor, GLOBAL, Permission, Portfolio, Role, Scope};
use crate::error::{Code, Error, Result};
use crate::event::catalogue::{Event, EventKind};
use crate::inventory::company::{self, Company};
use crate::inventory::input;
use crate::inventory::record::{Record, taken};
use crate::inventory::user::{self, User};
use crate::ledger::{self, AuditEntry};

impl Domain {
    /// A link to become the first admin, while there is neither a company nor a platform admin; those
    /// made before are good no more. For the operator.
    pub async fn setup_link(&self, operator: &Actor) -> Result<Option<Secret>> {
        let scope = operator.allow(Permission::ManagePlatform)?;
        if !self.db().is_empty(&Scope::System).await? {
            return Ok(None);
        }
        let mut tx = self.begin(operator, &scope).await?;
        link::store::revoke_setups(&tx).await?;
        let id = self.clock().id();
        let link = Link::new(id, GLOBAL, Purpose::Setup, operator.id, tx.now(), link::LIFE);
        let secret = Secret::new(LINK)?;
        link::store::insert(&tx, &link, secret.digest()).await?;
        tx.audit(AuditEntry::new("setup.link_made", id));
        tx.commit().await?;
        Ok(Some(secret))
    }

    /// Makes the first company, and its admin, who administers the platform too.
    pub(super) async fn setup_accept(
        &self,
        link: Link,
        with: Acceptance,
        visitor: &Visitor,
    ) -> Result<Granted> {
        if !self.db().is_empty(&Scope::System).await? {
            return Err(Error::new(Code::IllegalState, "There is somebody already who can let you in."));
        }
        let name = |value: Option<String>, field: &str| -> Result<String> {
            input::name(field, &link::required(value, field)?, input::NAME)
        };
        let company_name = name(with.company, "company")?;
        let email = input::email("email", &link::required(with.email, "email")?)?;
        let now = self.clock().now();
        let user = User {
            id: self.clock().id(),
            email,
            name: name(with.name, "name")?,
            platform_admin: true,
            disabled_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let password = link::required(with.password, "password")?;
        password::check(&password, &user, std::iter::once(company_name.as_str()))?;
        let hash = self.doors().passwords.hash(password).await?;
        let id = self.clock().id();
        let company = Company { id, name: company_name, created_at: now, updated_at: now, version: 1 };
        let scope = Scope::Company(id, Portfolio::Whole);
        let mut tx = self.begin(&self.by_link(&user, id, visitor), &scope).await?;
        link::use_up(&tx, &link).await?;
        company::store::insert(&tx, &company)
            .await
            .map_err(|error| taken(error, "company", company::TAKEN))?;
        ledger::store::open(tx.conn(), tx.dialect, id).await?;
        tx.audit_created("company.created", &company);
        tx.emit(Event::new(EventKind::CompanyCreated, id, company.facts()));
        user::store::insert(&tx, &user).await.map_err(|error| taken(error, "email", user::TAKEN))?;
        tx.audit_created("user.created", &user);
        self.join(&mut tx, &scope, user.id, Role::Admin, Portfolio::Whole).await?;
        password::set(&mut tx, &user, &hash, None).await?;
        tx.commit().await?;
        self.session_begin(user.id, "link", session::LIFE, Some(id), visitor).await
    }
}
