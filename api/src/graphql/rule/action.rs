//! What a rule does.

use std::collections::HashMap;

use async_graphql::{Context, Object};
use domain::inventory::team::Team;
use domain::inventory::user::User;
use domain::rule::action::Action;
use serde_json::Value;
use uuid::Uuid;

use crate::graphql::loaders::{loaders, many};
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
#[Object]
impl RuleAction {
    /// The key of one of `ruleBuilder.actions`.
    #[graphql(name = "type")]
    async fn kind(&self) -> &'static str {
        self.0.kind().key
    }

    /// The action for people.
    async fn label(&self) -> &'static str {
        self.0.kind().label
    }

    /// Its configuration, of the shape of `configSchema`.
    async fn config(&self) -> Json {
        Json(self.written().get("config").cloned().unwrap_or_default())
    }

    /// Type and configuration together, as mutations take them.
    async fn json(&self) -> Json {
        Json(self.written())
    }

    /// The users that it names.
    async fn users(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<UserNode>> {
        Ok(many(&loaders(ctx)?.users, self.0.names().0).await?)
    }

    /// The teams that it names.
    async fn teams(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<TeamNode>> {
        Ok(many(&loaders(ctx)?.teams, self.0.names().1).await?)
    }

    /// The action in words, with the names of those that it names.
    async fn sentence(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        let (users, teams) = self.0.names();
        let loaders = loaders(ctx)?;
        let users: Vec<User> = many(&loaders.users, users).await?;
        let teams: Vec<Team> = many(&loaders.teams, teams).await?;
        let users = users.into_iter().map(|user| (user.id, user.name));
        let names: HashMap<Uuid, String> =
            users.chain(teams.into_iter().map(|team| (team.id, team.name))).collect();
        let named = |text: &str| text.parse().ok().and_then(|id: Uuid| names.get(&id)).cloned();
        let written = self.written();
        let members = written.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(filled(self.0.kind().sentence, |member| match members.get(member) {
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
        }))
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
