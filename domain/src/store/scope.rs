//! What a [`Scope`] lets a query reach, as conditions that begin with ` AND `.

use super::sql::Sql;
use crate::access::{GLOBAL, Portfolio, Scope};

impl Sql {
    /// The record is of the scope's own company.
    pub fn own(self, scope: &Scope, alias: &str) -> Self {
        let company = match scope {
            Scope::Company(company, _) => *company,
            Scope::Global => GLOBAL,
            Scope::System => return self,
        };
        self.push(" AND ").push(alias).push(".company_id = ").bind(company)
    }

    /// The same where other conditions find the rows: an index on companies is not to be taken, whatever
    /// a planner thinks of it.
    pub fn own_too(self, scope: &Scope, alias: &str) -> Self {
        let company = match scope {
            Scope::Company(company, _) => *company,
            Scope::Global => GLOBAL,
            Scope::System => return self,
        };
        self.push(" AND (").push(alias).push(".company_id = ").bind(company).push(") IS TRUE")
    }

    /// The record is of the scope's own company, or of all.
    pub fn own_or_global(self, scope: &Scope, alias: &str) -> Self {
        match scope {
            Scope::Company(company, _) => self
                .push(" AND ")
                .push(alias)
                .push(".company_id IN (")
                .bind(*company)
                .push(", ")
                .bind(GLOBAL)
                .push(")"),
            scope => self.own(scope, alias),
        }
    }

    /// The project lies in the portfolio. `column` holds its id.
    pub fn covered_project(self, scope: &Scope, column: &str) -> Self {
        match scope {
            Scope::Company(_, Portfolio::Only { projects, .. }) => {
                self.push(" AND ").one_of(column, projects.iter().copied())
            }
            _ => self,
        }
    }

    /// The asset is of an owner team in the portfolio, or has findings in one of its projects.
    pub fn covered_asset(self, scope: &Scope, alias: &str) -> Self {
        match scope {
            Scope::Company(_, Portfolio::Only { projects, teams }) => self
                .push(" AND (")
                .one_of(&format!("{alias}.owner_team_id"), teams.iter().copied())
                .push(&format!(
                    " OR EXISTS (SELECT 1 FROM finding covered WHERE covered.asset_id = {alias}.id AND "
                ))
                .one_of("covered.project_id", projects.iter().copied())
                .push("))"),
            _ => self,
        }
    }

    /// The finding is in a project of the portfolio, or on an asset of one of its owner teams.
    pub fn covered_finding(self, scope: &Scope, alias: &str) -> Self {
        match scope {
            Scope::Company(_, Portfolio::Only { projects, teams }) => self
                .push(" AND (")
                .one_of(&format!("{alias}.project_id"), projects.iter().copied())
                .push(&format!(
                    " OR EXISTS (SELECT 1 FROM asset covered WHERE covered.id = {alias}.asset_id AND "
                ))
                .one_of("covered.owner_team_id", teams.iter().copied())
                .push("))"),
            _ => self,
        }
    }
}
