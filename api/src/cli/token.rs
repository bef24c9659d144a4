//! `countersign token create`: how an operator lets somebody in.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use domain::Domain;
use domain::access::{Actor, Portfolio, Role};
use domain::error::{Error, Result};
use domain::inventory::token::{Holder, NewToken};
use domain::inventory::user::{NewUser, User, UserFilter, UserOrder};
use domain::page::{OrderBy, PageArgs};
use domain::vocabulary::terms::Term;
use domain::vocabulary::time::Span;

use super::{operator, print};

#[derive(Subcommand)]
pub enum Token {
    /// Issues a token to a user of a company. Its secret is printed once.
    Create(Create),
}

#[derive(Args)]
pub struct Create {
    /// The company's name.
    #[arg(long)]
    company: String,
    /// The user's address.
    #[arg(long)]
    email: String,
    /// Makes the company and the user where they are missing, the user with this role.
    #[arg(long)]
    role: Option<String>,
    /// What the token is for.
    #[arg(long, default_value = "command line")]
    name: String,
    /// How long it lives: `12h`, `30d`; 90 days if not said.
    #[arg(long)]
    expires_in: Option<String>,
}

impl Token {
    pub async fn run(self, domain: &Domain) -> Result<ExitCode> {
        let Self::Create(create) = self;
        let life = create
            .expires_in
            .as_deref()
            .map(|text| Span::parse(text).ok_or_else(|| Error::invalid("expires-in", "As in 12h or 30d.")))
            .transpose()?;
        let role = create
            .role
            .as_deref()
            .map(|word| {
                let message = || format!("One of {}.", Role::WORDS.join(", "));
                Role::parse(word).ok_or_else(|| Error::invalid("role", message()))
            })
            .transpose()?;
        let company = match (operator::company(domain, &create.company).await?, role) {
            (Some(company), _) => company,
            (None, Some(_)) => domain.company_create(&operator::platform(), &create.company, false).await?,
            (None, None) => return Err(Error::not_found("company").at("company")),
        };
        let actor = operator::of(company.id);
        let user = match (user(domain, &actor, &create.email).await?, role) {
            (Some(user), _) => user,
            (None, Some(role)) => {
                let name = create.email.split('@').next().unwrap_or(&create.email).to_owned();
                let grant = Some((role, Portfolio::Whole));
                let new = NewUser { email: create.email, name, grant, platform_admin: false };
                domain.user_create(&actor, new).await?
            }
            (None, None) => return Err(Error::not_found("user").at("email")),
        };
        let new = NewToken { holder: Some(Holder::User(user.id)), name: create.name, scopes: None, life };
        let (token, secret) = domain.token_create(&actor, new).await?;
        eprintln!("A token of {} for {}, until {}:", user.email, company.name, token.expires_at);
        print(secret.reveal())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The member with this address.
pub async fn user(domain: &Domain, actor: &Actor, email: &str) -> Result<Option<User>> {
    let filter = UserFilter { query: Some(email.to_owned()), ..UserFilter::default() };
    let users =
        domain.users(actor, &filter, OrderBy::ascending(UserOrder::Email), &PageArgs::first(500)).await?;
    Ok(users.nodes().find(|user| user.email.eq_ignore_ascii_case(email)))
}
