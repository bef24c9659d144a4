//! Where the values of references and codes come from, as criteria and actions write them.

use crate::Domain;
use crate::access::Actor;
use crate::error::{Error, Result};
use crate::inventory::code::CodeList;
use crate::inventory::project::{ProjectFilter, ProjectOrder};
use crate::inventory::team::{TeamFilter, TeamOrder};
use crate::inventory::user::{UserFilter, UserOrder};
use crate::page::{self, OrderBy, PageArgs};
use crate::vocabulary::terms::Term;

/// A value, and what people read for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceValue {
    pub value: String,
    pub label: String,
}

impl Domain {
    /// The first records of a source by their labels, of which `query` is a part, ignoring ASCII case.
    ///
    /// # Errors
    ///
    /// `INVALID` for what is no source of any field, and for a number of records out of range.
    pub async fn source_values(
        &self,
        actor: &Actor,
        source: &str,
        query: Option<&str>,
        first: i64,
    ) -> Result<Vec<SourceValue>> {
        if !(1..=i64::from(page::MOST)).contains(&first) {
            return Err(Error::invalid("first", format!("Between 1 and {}.", page::MOST)));
        }
        let args = PageArgs::first(first);
        let query = query.map(str::trim).filter(|query| !query.is_empty()).map(str::to_owned);
        let value = |value: String, label: String| SourceValue { value, label };
        Ok(match source {
            "user" => {
                let filter = UserFilter { query, disabled: Some(false), ..UserFilter::default() };
                let found = self.users(actor, &filter, OrderBy::ascending(UserOrder::Name), &args).await?;
                found.nodes().map(|user| value(user.id.to_string(), user.name)).collect()
            }
            "team" => {
                let filter = TeamFilter { query, archived: Some(false), ..TeamFilter::default() };
                let found = self.teams(actor, &filter, OrderBy::ascending(TeamOrder::Name), &args).await?;
                found.nodes().map(|team| value(team.id.to_string(), team.name)).collect()
            }
            "project" => {
                let filter = ProjectFilter { query, archived: Some(false) };
                let order = OrderBy::ascending(ProjectOrder::Name);
                let found = self.projects(actor, &filter, order, &args).await?;
                found.nodes().map(|project| value(project.id.to_string(), project.name)).collect()
            }
            "company" => {
                let own = self.company(actor, actor.company).await?;
                vec![value(own.id.to_string(), own.name)]
            }
            codes => {
                let unknown = || Error::invalid("source", format!("There is no source `{codes}`."));
                let list = CodeList::parse(codes).ok_or_else(unknown)?;
                let query = query.unwrap_or_default().to_ascii_lowercase();
                let wanted = |text: &str| text.to_ascii_lowercase().contains(&query);
                let found = self.codes(actor, list).await?.into_iter();
                let found = found.filter(|entry| wanted(&entry.code) || wanted(&entry.label));
                found
                    .take(args.first.map_or(0, |first| usize::try_from(first).unwrap_or(0)))
                    .map(|entry| value(entry.code, entry.label))
                    .collect()
            }
        })
    }
}
