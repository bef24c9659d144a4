//! What findings have in common: counts by the values of fields.

use std::collections::{BTreeSet, HashMap};

use async_graphql::{Context, Object, SimpleObject};
use domain::Domain;
use domain::access::Actor;
use domain::error::{Error, Result};
use domain::finding::query::{FindingFilter, GROUPS, Group};
use domain::inventory::code::CodeList;
use domain::inventory::project::Project;
use domain::inventory::team::Team;
use domain::inventory::user::User;
use domain::vocabulary::field::finding::FindingField;
use domain::vocabulary::kind::Kind;
use domain::vocabulary::terms::{self, Term};
use record::record;
use serde_json::Value;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::words::{FindingStatus, Severity};
use crate::graphql::criteria::Criteria;
use crate::graphql::loaders::load;
use crate::graphql::scalars::Json;
use crate::graphql::{actor, domain};

/// The most fields that facets are asked of at once.
const FACETS: usize = 12;

/// How many findings there are of one severity.
#[record]
#[derive(SimpleObject)]
pub struct SeverityCount {
    /// The severity.
    severity: Severity,
    /// How many findings show it.
    count: i64,
}

/// How many findings there are of one status.
#[record]
#[derive(SimpleObject)]
pub struct StatusCount {
    /// The status.
    status: FindingStatus,
    /// How many findings show it.
    count: i64,
}

/// A value of a field, and how many findings have it.
#[record]
#[derive(SimpleObject)]
pub struct ValueCount {
    /// The value, as criteria are written with it; null for the findings that have none.
    value: Option<Json>,
    /// The value for people: the name of what it refers to, the label of a code.
    label: String,
    /// How many findings have it. In a list field a finding counts under each of its elements.
    count: i64,
}

/// A field's most frequent values.
#[record]
#[derive(SimpleObject)]
pub struct FindingFacet {
    /// The field's key.
    field: &'static str,
    /// The field for people.
    label: &'static str,
    /// The values, the most frequent first.
    values: Vec<ValueCount>,
}

/// A value of one field of a group.
#[record]
#[derive(SimpleObject)]
pub struct GroupValue {
    /// The field's key.
    field: &'static str,
    /// The value; null for the findings that have none.
    value: Option<Json>,
    /// The value for people.
    label: String,
}

/// Findings with the same values.
#[record]
#[derive(SimpleObject)]
pub struct FindingGroup {
    /// The values, in the order of the fields asked for.
    values: Vec<GroupValue>,
    /// How many findings have them.
    count: i64,
}

/// How many findings there are.
pub struct FindingStats {
    domain: Domain,
    actor: Actor,
    filter: FindingFilter,
    group_by: Vec<FindingField>,
    by_status: OnceCell<Vec<(terms::Status, i64)>>,
}

impl FindingStats {
    pub fn new(
        ctx: &Context<'_>,
        filter: Option<Criteria>,
        group_by: Option<Vec<String>>,
        per_issue: bool,
    ) -> async_graphql::Result<Self> {
        let domain = domain(ctx).clone();
        let filter = domain.finding_filter(filter.as_ref().map(|filter| &filter.0))?.per_issue(per_issue);
        let group_by = group_by.unwrap_or_default();
        let group_by = group_by.iter().map(|key| field(key, "groupBy")).collect::<Result<_>>()?;
        Ok(Self { domain, actor: actor(ctx)?.clone(), filter, group_by, by_status: OnceCell::new() })
    }

    /// How many findings show each word of a closed list, the words without any included.
    async fn by_word<T: Term + PartialEq>(&self, field: FindingField) -> Result<Vec<(T, i64)>> {
        let groups = self.domain.finding_groups(&self.actor, &self.filter, &[field]).await?;
        let counts: HashMap<&str, i64> =
            groups.iter().filter_map(|group| Some((group.values.first()?.as_str()?, group.count))).collect();
        Ok(T::ALL.iter().map(|term| (*term, counts.get(term.word()).copied().unwrap_or(0))).collect())
    }

    async fn statuses(&self) -> Result<&[(terms::Status, i64)]> {
        Ok(self.by_status.get_or_try_init(|| self.by_word(FindingField::Status)).await?)
    }
}

/// How many findings there are.
#[record]
#[Object]
impl FindingStats {
    /// In all.
    async fn total(&self) -> async_graphql::Result<i64> {
        Ok(self.statuses().await?.iter().map(|(_, count)| count).sum())
    }

    /// Those that are open or in progress.
    async fn active(&self) -> async_graphql::Result<i64> {
        let active = self.statuses().await?.iter().filter(|(status, _)| status.is_active());
        Ok(active.map(|(_, count)| count).sum())
    }

    /// By severity, the lowest first.
    async fn by_severity(&self) -> async_graphql::Result<Vec<SeverityCount>> {
        let counts = self.by_word::<terms::Severity>(FindingField::Severity).await?;
        let count =
            |(severity, count): (terms::Severity, i64)| SeverityCount { severity: severity.into(), count };
        Ok(counts.into_iter().map(count).collect())
    }

    /// By status.
    async fn by_status(&self) -> async_graphql::Result<Vec<StatusCount>> {
        let count =
            |(status, count): &(terms::Status, i64)| StatusCount { status: (*status).into(), count: *count };
        Ok(self.statuses().await?.iter().map(count).collect())
    }

    /// By the fields of `groupBy`, the most frequent first, at most 500; empty if none were named.
    async fn groups(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<FindingGroup>> {
        if self.group_by.is_empty() {
            return Ok(Vec::new());
        }
        let groups = self.domain.finding_groups(&self.actor, &self.filter, &self.group_by).await?;
        let mut labels = Vec::new();
        for (at, field) in self.group_by.iter().enumerate() {
            labels
                .push(Labels::of(ctx, *field, groups.iter().filter_map(|group| group.values.get(at))).await?);
        }
        let group = |Group { values, count }: Group| {
            let value = |((field, labels), value): ((&FindingField, &Labels), Value)| GroupValue {
                field: field.key(),
                label: labels.label(&value),
                value: (!value.is_null()).then_some(Json(value)),
            };
            FindingGroup { values: self.group_by.iter().zip(&labels).zip(values).map(value).collect(), count }
        };
        Ok(groups.into_iter().map(group).collect())
    }
}

/// The values of each field.
pub async fn facets(
    ctx: &Context<'_>,
    filter: Option<Criteria>,
    by: &[String],
    first: i32,
) -> async_graphql::Result<Vec<FindingFacet>> {
    if by.len() > FACETS {
        return Err(Error::invalid("by", format!("At most {FACETS} fields.")).into());
    }
    let most = usize::try_from(first).ok().filter(|most| i64::from(first) <= GROUPS && *most > 0);
    let most = most.ok_or_else(|| Error::invalid("first", format!("Between 1 and {GROUPS}.")))?;
    let (domain, actor) = (domain(ctx), actor(ctx)?);
    let filter = domain.finding_filter(filter.as_ref().map(|filter| &filter.0))?;
    let mut facets = Vec::with_capacity(by.len());
    for key in by {
        let field = field(key, "by")?;
        let mut groups = domain.finding_groups(actor, &filter, &[field]).await?;
        groups.truncate(most);
        let values = labelled(ctx, field, groups).await?;
        facets.push(FindingFacet { field: field.key(), label: field.field().label, values });
    }
    Ok(facets)
}

/// The values of one field among all findings.
pub async fn values(
    ctx: &Context<'_>,
    key: &str,
    query: Option<&str>,
    first: i32,
) -> async_graphql::Result<Vec<ValueCount>> {
    let field = field(key, "field")?;
    let groups = domain(ctx).field_values(actor(ctx)?, field, query, first.into()).await?;
    Ok(labelled(ctx, field, groups).await?)
}

async fn labelled(ctx: &Context<'_>, field: FindingField, groups: Vec<Group>) -> Result<Vec<ValueCount>> {
    let labels = Labels::of(ctx, field, groups.iter().filter_map(|group| group.values.first())).await?;
    let value = |group: Group| {
        let value = group.values.into_iter().next().unwrap_or_default();
        ValueCount {
            label: labels.label(&value),
            value: (!value.is_null()).then_some(Json(value)),
            count: group.count,
        }
    };
    Ok(groups.into_iter().map(value).collect())
}

fn field(key: &str, argument: &str) -> Result<FindingField> {
    FindingField::from_key(key).ok_or_else(|| Error::invalid(argument, format!("There is no field `{key}`.")))
}

/// What people read for the values of a field.
struct Labels {
    named: HashMap<String, String>,
}

impl Labels {
    /// The labels of `values`, looked up together.
    async fn of<'a>(
        ctx: &Context<'_>,
        field: FindingField,
        values: impl Iterator<Item = &'a Value>,
    ) -> Result<Self> {
        let kind = field.field().kind;
        let ids = || -> BTreeSet<Uuid> { values.filter_map(|id| id.as_str()?.parse().ok()).collect() };
        let named: HashMap<String, String> = match kind {
            Kind::Ordinal(_) | Kind::Enum(_) => {
                kind.choices().map(|choice| (choice.value.to_owned(), choice.label())).collect()
            }
            Kind::CodeList(list) => match CodeList::parse(list) {
                Some(list) => {
                    let codes = domain(ctx).codes(actor(ctx)?, list).await?;
                    codes.into_iter().map(|code| (code.code, code.label)).collect()
                }
                None => HashMap::new(),
            },
            Kind::Reference("project") => {
                let projects = load::<Project>(ctx, ids()).await?;
                projects.into_iter().map(|(id, project)| (id.to_string(), project.name)).collect()
            }
            Kind::ReferenceList("user") => {
                let users = load::<User>(ctx, ids()).await?;
                users.into_iter().map(|(id, user)| (id.to_string(), user.name)).collect()
            }
            Kind::ReferenceList("team") => {
                let teams = load::<Team>(ctx, ids()).await?;
                teams.into_iter().map(|(id, team)| (id.to_string(), team.name)).collect()
            }
            _ => HashMap::new(),
        };
        Ok(Self { named })
    }

    fn label(&self, value: &Value) -> String {
        match value {
            Value::Null => "None".to_owned(),
            Value::Bool(true) => "Yes".to_owned(),
            Value::Bool(false) => "No".to_owned(),
            Value::String(text) => self.named.get(text).unwrap_or(text).clone(),
            other => other.to_string(),
        }
    }
}
