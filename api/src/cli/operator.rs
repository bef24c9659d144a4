//! The one who holds the database and runs the commands.

use domain::Domain;
use domain::access::{Actor, GLOBAL, Role};
use domain::error::{Error, Result};
use domain::inventory::company::Company;
use domain::page::PageArgs;
use uuid::Uuid;

/// The operator, acting for all companies.
pub fn platform() -> Actor {
    Actor { role: Role::PlatformAdmin, ..Actor::system(GLOBAL, "command line") }
}

/// The operator, acting for one company.
pub fn of(company: Uuid) -> Actor {
    Actor::system(company, "command line")
}

/// The company of this name.
pub async fn company(domain: &Domain, name: &str) -> Result<Option<Company>> {
    let actor = platform();
    let mut args = PageArgs::first(500);
    loop {
        let page = domain.companies(&actor, &args).await?;
        let more = page.has_next;
        args.after = page.edges.last().map(|edge| edge.cursor.clone());
        if let Some(found) = page.nodes().find(|company| company.name.eq_ignore_ascii_case(name)) {
            return Ok(Some(found));
        }
        if !more {
            return Ok(None);
        }
    }
}

/// The company of this name, which has to be there.
pub async fn existing_company(domain: &Domain, name: &str) -> Result<Company> {
    let found = company(domain, name).await?;
    found.ok_or_else(|| Error::not_found("company").at("company"))
}
