//! Which findings are meant: a filter, a saved view, a project, or what lies in all of those.

use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::Domain;
use crate::access::Actor;
use crate::error::{Error, Result};
use crate::inventory::project::Project;
use crate::inventory::view::{View, ViewNoun};

/// What is said of the findings that are meant: all of it has to hold. Nothing said is everything in scope.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    pub filter: Option<Json>,
    pub view: Option<Uuid>,
    pub project: Option<Uuid>,
}

/// What was selected, looked up.
#[derive(Clone, Debug)]
pub struct Selection {
    pub project: Option<Project>,
    pub view: Option<View>,
    /// The tree that says all of it; `None` for everything in scope.
    pub criteria: Option<Json>,
}

/// A tree that says that the finding is of this project.
pub fn of_project(project: Uuid) -> Json {
    json!({ "field": "project", "operator": "eq", "value": project })
}

/// A tree that says all that these say.
pub fn all_of(trees: Vec<Json>) -> Option<Json> {
    match trees.len() {
        0 | 1 => trees.into_iter().next(),
        _ => Some(json!({ "logic": "AND", "conditions": trees })),
    }
}

impl Domain {
    /// Looks up what is selected. A project or a view that the actor does not see is `NOT_FOUND`, and what they say is checked as
    /// any filter is.
    pub async fn finding_selection(&self, actor: &Actor, selected: &Selected) -> Result<Selection> {
        let project = match selected.project {
            Some(id) => Some(self.project(actor, id).await.map_err(|error| error.at("project"))?),
            None => None,
        };
        let view = match selected.view {
            Some(id) => Some(self.view(actor, id).await.map_err(|error| error.at("view"))?),
            None => None,
        };
        if view.as_ref().is_some_and(|view| view.noun != ViewNoun::Findings) {
            return Err(Error::invalid("view", "The view is not over findings."));
        }
        let of_view = view.as_ref().map(|view| view.filter.clone());
        // An empty filter of a saved list is all that the list has.
        let of_view = of_view.filter(|filter| filter.as_object().is_none_or(|object| !object.is_empty()));
        for (tree, field) in [(&selected.filter, "filter"), (&of_view, "view")] {
            let checked = self.finding_filter(tree.as_ref());
            checked.map_err(|mut error| {
                if let Some(first) = error.field.first_mut() {
                    field.clone_into(first);
                }
                error
            })?;
        }
        let of_project = project.as_ref().map(|project| of_project(project.id));
        let trees = [of_project, of_view, selected.filter.clone()].into_iter().flatten().collect();
        Ok(Selection { project, view, criteria: all_of(trees) })
    }
}
