//! Where the values of a finding come from.

use std::sync::Arc;

use async_graphql::{Context, Object, SimpleObject, Union};
use domain::finding::facts::Finding;
use domain::finding::layers::{Entry, Layers, ScalarField, SetField, Source, Verdict};
use domain::intel::feed::Feed;
use domain::intel::vex::query::Newest;
use domain::rule::Rule;
use domain::vocabulary::terms::Term;
use record::record;
use serde_json::json;

use super::words::Layer;
use crate::graphql::intel::IntelFeedKey;
use crate::graphql::loaders::nodes;
use crate::graphql::person::{Person, people};
use crate::graphql::rule::RuleNode;
use crate::graphql::scalars::Json;
use crate::graphql::scan::ScanNode;
use crate::graphql::service_account::ServiceAccountNode;
use crate::graphql::user::UserNode;

/// Who said something of a finding.
#[record]
#[derive(Union)]
pub enum LayerAuthor {
    Rule(Arc<RuleNode>),
    User(Arc<UserNode>),
    ServiceAccount(Arc<ServiceAccountNode>),
    Scan(Arc<ScanNode>),
}

/// All that is said of one field of a finding.
#[record]
#[derive(SimpleObject)]
pub struct FieldLayers {
    /// The field's key, as in criteria.
    field: &'static str,
    /// What the finding shows.
    value: Option<Json>,
    /// What each says, the weakest first: the last of them is shown. Empty for a field that holds a
    /// set.
    entries: Vec<LayerEntry>,
    /// The elements of a field that holds a set, each with what is said of it.
    elements: Vec<ElementLayers>,
}

/// All that is said of one element of a set.
#[record]
#[derive(SimpleObject)]
pub struct ElementLayers {
    /// The element.
    element: String,
    /// Whether the finding shows it.
    shown: bool,
    /// What each says, the weakest first, as true for present and false for absent: the last of
    /// them holds.
    entries: Vec<LayerEntry>,
}

/// What one says.
pub struct LayerEntry {
    source: Source,
    value: Option<serde_json::Value>,
    shown: bool,
    verdict: Option<Verdict>,
}

/// What one says of a field or element.
#[record]
#[Object]
impl LayerEntry {
    /// The layer that it speaks in.
    fn layer(&self) -> Layer {
        self.source.layer.into()
    }

    /// Who said it: a VEX document by its newest scan. Null for scanners and feeds, and for those who are
    /// gone.
    async fn by(rows: &[&Self], ctx: &Context<'_>) -> async_graphql::Result<Vec<Option<LayerAuthor>>> {
        authors(ctx, rows.iter().map(|row| row.source).collect()).await
    }

    /// The feed that said it; null for all other layers.
    fn feed(&self) -> Option<IntelFeedKey> {
        Feed::with_id(self.source.by).map(Into::into)
    }

    /// What it says; null where it says that there is no value.
    fn value(&self) -> Option<Json> {
        self.value.clone().map(Json)
    }

    /// Whether this is what the finding shows.
    fn shown(&self) -> bool {
        self.shown
    }

    /// For a status that a report or a VEX document gives: why, in the word of its format
    /// (`vulnerable_code_not_present`).
    fn justification(&self) -> Option<&str> {
        self.verdict.as_ref()?.justification.as_deref()
    }

    /// For a status that a report or a VEX document gives: why, in its author's words.
    fn statement(&self) -> Option<&str> {
        self.verdict.as_ref()?.statement.as_deref()
    }

    /// For a status that a report or a VEX document gives: who says so, as it is written there.
    fn author(&self) -> Option<&str> {
        self.verdict.as_ref()?.author.as_deref()
    }
}

/// Who stands behind each of these sources, where the caller may see them.
pub async fn authors(
    ctx: &Context<'_>,
    sources: Vec<Source>,
) -> async_graphql::Result<Vec<Option<LayerAuthor>>> {
    use domain::finding::layers::Layer;

    let of = |layer: Layer| sources.iter().filter(move |source| source.layer == layer);
    let documents = of(Layer::Intel).filter(|source| Feed::with_id(source.by).is_none());
    let (rules, people, scans) = futures_util::try_join!(
        async {
            Ok::<_, async_graphql::Error>(
                nodes::<Rule, _>(ctx, of(Layer::Rule).map(|source| source.by)).await?,
            )
        },
        people(ctx, sources.iter().map(|source| (source.layer == Layer::Human).then_some(source.by))),
        async {
            Ok::<_, async_graphql::Error>(nodes::<Newest, _>(ctx, documents.map(|source| source.by)).await?)
        },
    )?;
    let by = |(source, person): (&Source, Option<Arc<Person>>)| match source.layer {
        Layer::Rule => rules.get(&source.by).cloned().map(LayerAuthor::Rule),
        Layer::Human => person.map(|person| match &*person {
            Person::User(user) => LayerAuthor::User(Arc::clone(user)),
            Person::ServiceAccount(account) => LayerAuthor::ServiceAccount(Arc::clone(account)),
        }),
        Layer::Intel => scans.get(&source.by).cloned().map(LayerAuthor::Scan),
        Layer::Scanner | Layer::Runbook => None,
    };
    Ok(sources.iter().zip(people).map(by).collect())
}

/// The layers of every field that anything is said of.
pub fn layers(finding: &Finding) -> Vec<FieldLayers> {
    let scalars = ScalarField::ALL.iter().filter_map(|field| {
        let stack = finding.layers.stack(*field);
        let value = finding.layers.scalar(*field).map(|value| Json(value.json()));
        let entries = presented(stack, |value| value.as_ref().map(|value| value.json()));
        (!stack.is_empty()).then(|| FieldLayers { field: field.word(), value, entries, elements: Vec::new() })
    });
    let sets = SetField::ALL.iter().filter_map(|field| {
        let element = |(element, stack): (&str, &[Entry<bool>])| ElementLayers {
            element: element.to_owned(),
            shown: stack.last().is_some_and(|top| top.value),
            entries: presented(stack, |present| Some(json!(present))),
        };
        let elements: Vec<ElementLayers> = finding.layers.elements(*field).map(element).collect();
        let value = Some(Json(json!(finding.shown.set(*field))));
        (!elements.is_empty()).then(|| FieldLayers {
            field: field.word(),
            value,
            entries: Vec::new(),
            elements,
        })
    });
    scalars.chain(std::iter::once(status(&finding.layers))).chain(sets).collect()
}

fn presented<T>(stack: &[Entry<T>], value: impl Fn(&T) -> Option<serde_json::Value>) -> Vec<LayerEntry> {
    let top = stack.len().saturating_sub(1);
    let entry = |(at, entry): (usize, &Entry<T>)| LayerEntry {
        source: entry.source,
        value: value(&entry.value),
        shown: at == top,
        verdict: None,
    };
    stack.iter().enumerate().map(entry).collect()
}

/// The lifecycle and the verdicts over it; one that a person moved, or that has ended, lies over them.
fn status(layers: &Layers) -> FieldLayers {
    let status = layers.status();
    let said = |source, verdict| Entry { source, value: verdict };
    let verdicts = status.verdicts.entries().iter().cloned();
    let mut stack = vec![said(status.lifecycle.source, Verdict::of(status.lifecycle.value))];
    stack.extend(verdicts);
    if status.verdict().is_none() {
        stack.rotate_left(1);
    }
    let mut entries = presented(&stack, |verdict| Some(json!(verdict.status)));
    for (entry, said) in entries.iter_mut().zip(stack) {
        entry.verdict = Some(said.value);
    }
    FieldLayers { field: "status", value: Some(Json(json!(status.shown()))), entries, elements: Vec::new() }
}
