//! What a rule does.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Context, Object};
use domain::inventory::team::Team;
use domain::inventory::user::User;
use domain::rule::action::Action;
use record::record;
use serde_json::Value;
use uuid::Uuid;

use crate::graphql::loaders::{load, many};
use crate::graphql::scalars::Json;
use crate::graphql::team::TeamNode;
use crate::graphql::user::UserNode;

pub struct RuleAction(Action);

impl From<Action> for RuleAction {
    fn from(action: Action) -> Self {
        Self(action)
    }
}

impl RuleAction {
    fn written(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }
}

/// What a rule does.
#[record]
#[Object]
impl RuleAction {
    /// The key of one of `ruleBuilder.actions`.
    #[graphql(name = "type")]
    fn kind(&self) -> &'static str {
        self.0.kind().key
    }

    /// The action for people.
    fn label(&self) -> &'static str {
        self.0.kind().label
    }

    /// Its configuration, of the shape of `configSchema`.
    fn config(&self) -> Json {
        Json(self.written().get("config").cloned().unwrap_or_default())
    }

    /// Type and configuration together, as mutations take them.
    fn json(&self) -> Json {
        Json(self.written())
    }

    /// The users that it names.
    async fn users(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<UserNode>>>> {
        many::<User, _>(ctx, rows.iter().map(|row| row.0.names().0)).await
    }

    /// The teams that it names.
    async fn teams(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Vec<Arc<TeamNode>>>> {
        many::<Team, _>(ctx, rows.iter().map(|row| row.0.names().1)).await
    }

    /// The action in words, with the names of those that it names.
    async fn sentence(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<String>> {
        let users = load::<User>(ctx, rows.iter().flat_map(|row| row.0.names().0));
        let teams = load::<Team>(ctx, rows.iter().flat_map(|row| row.0.names().1));
        let (users, teams) = futures_util::try_join!(users, teams)?;
        let users = users.into_iter().map(|(id, user)| (id, user.name));
        let names: HashMap<Uuid, String> =
            users.chain(teams.into_iter().map(|(id, team)| (id, team.name))).collect();
        Ok(rows.iter().map(|row| row.told(&names)).collect())
    }
}

impl RuleAction {
    /// The action in words, with these names.
    fn told(&self, names: &HashMap<Uuid, String>) -> String {
        let named = |text: &str| text.parse().ok().and_then(|id: Uuid| names.get(&id)).cloned();
        let written = self.written();
        let members = written.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        filled(self.0.kind().sentence, |member| match members.get(member) {
            Some(Value::String(text)) => named(text).unwrap_or_else(|| text.clone()),
            Some(Value::Array(elements)) => {
                let texts = elements.iter().filter_map(Value::as_str);
                texts
                    .map(|text| named(text).unwrap_or_else(|| text.to_owned()))
                    .collect::<Vec<_>>()
                    .join(", ")
            }
            Some(other) => other.to_string(),
            None => String::new(),
        })
    }
}

/// The sentence with what stands in braces filled in, without the gaps that missing members leave.
fn filled(sentence: &str, value: impl Fn(&str) -> String) -> String {
    let mut words = Vec::new();
    for word in sentence.split(' ') {
        let member = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
        let word = member.map_or_else(|| word.to_owned(), &value);
        if !word.is_empty() {
            words.push(word);
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn a_sentence_is_filled_without_gaps() {
        let value = |member: &str| if member == "users" { "Ada, Bo".to_owned() } else { String::new() };
        assert_eq!(filled("assign to {users} {teams}", value), "assign to Ada, Bo");
        assert_eq!(filled("normalize the title", value), "normalize the title");
    }
}
