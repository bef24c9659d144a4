//! `countersign user`: how an operator helps somebody in.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use domain::Domain;
use domain::access::{Portfolio, Role};
use domain::error::{Error, Result};
use domain::signin::invitation::NewInvitation;
use domain::vocabulary::terms::Term;

use super::{member, operator, print};
use crate::sign_in::link_url;

#[derive(Subcommand)]
pub enum User {
    /// Prints a link by which a user sets a new password; it is good once, for a day.
    PasswordReset(PasswordReset),
    /// Prints a link by which somebody becomes a member of a company; it is good once, for a week.
    Invite(Invite),
}

#[derive(Args)]
pub struct PasswordReset {
    /// The user's address.
    #[arg(long)]
    email: String,
}

#[derive(Args)]
pub struct Invite {
    /// The company's name.
    #[arg(long)]
    company: String,
    /// Whom to invite.
    #[arg(long)]
    email: String,
    /// What the member may do.
    #[arg(long)]
    role: String,
}

impl User {
    pub async fn run(self, domain: &Domain) -> Result<ExitCode> {
        let secret = match self {
            Self::PasswordReset(PasswordReset { email }) => {
                let actor = operator::platform();
                let user = member(domain, &actor, &email).await?;
                let user = user.ok_or_else(|| Error::not_found("user").at("email"))?;
                domain.password_link(&actor, user.id).await?.1
            }
            Self::Invite(Invite { company, email, role }) => {
                let company = operator::existing_company(domain, &company).await?;
                let unknown = || Error::invalid("role", format!("One of {}.", Role::WORDS.join(", ")));
                let role = Role::parse(&role).ok_or_else(unknown)?;
                let new = NewInvitation { email, role, portfolio: Portfolio::Whole, life: None };
                domain.invitation_create(&operator::of(company.id), new).await?.1
            }
        };
        print(link_url(domain, &secret))?;
        Ok(ExitCode::SUCCESS)
    }
}
