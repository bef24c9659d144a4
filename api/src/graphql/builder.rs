//! The catalogues as types: everything that a client must know to draw the builder of rules and
//! filters, and the forms of imports.

use async_graphql::{Context, Enum, Object, SimpleObject};
use domain::event::catalogue::EventKind;
use domain::intake::format::Format;
use domain::intake::mapping::Mapped;
use domain::rule::action::{ACTIONS, ActionType};
use domain::vocabulary::field::finding::FINDING;
use domain::vocabulary::kind;
use domain::vocabulary::operator::{self, Operator};
use domain::vocabulary::registry::{FieldEntry, OperatorEntry, OptionEntry, registry};
use domain::vocabulary::terms::Term;
use record::{record, root};

use super::actor;
use super::import::ReportFormat;
use super::scalars::Json;

/// What kind of value a field has.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
pub enum FieldKind {
    /// Text of any length.
    Text,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A point in time.
    Time,
    /// One word of a closed list whose order means something.
    Ordinal,
    /// One word of a closed list.
    Enum,
    /// The id of a record.
    Reference,
    /// A list of texts.
    TextList,
    /// A list of ids of records.
    ReferenceList,
    /// A list of codes out of one of the company's lists.
    CodeList,
}

impl From<kind::Kind> for FieldKind {
    fn from(kind: kind::Kind) -> Self {
        use kind::Kind;

        match kind {
            Kind::Text => Self::Text,
            Kind::Number { .. } => Self::Number,
            Kind::Bool => Self::Bool,
            Kind::Time => Self::Time,
            Kind::Ordinal(_) => Self::Ordinal,
            Kind::Enum(_) => Self::Enum,
            Kind::Reference(_) => Self::Reference,
            Kind::TextList => Self::TextList,
            Kind::ReferenceList(_) => Self::ReferenceList,
            Kind::CodeList(_) => Self::CodeList,
        }
    }
}

/// The form element for the operand of a field.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::kind::Widget")]
pub enum Widget {
    /// A line of text.
    Text,
    /// A number.
    Number,
    /// A switch.
    Switch,
    /// A date with a time.
    DateTime,
    /// A choice among `options`.
    Select,
    /// A search among the records of `source`.
    Search,
    /// Free words.
    Tags,
    /// A search among the codes of `source`.
    Codes,
}

/// What an operand is written as; where the arity is many, what each element is.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::kind::ValueKind")]
pub enum ValueKind {
    /// There is no operand.
    Nothing,
    /// A text.
    Text,
    /// A regular expression.
    Pattern,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// An RFC 3339 time or date.
    Time,
    /// A length of time: `30s 5m 2h 7d 4w`.
    Span,
    /// One of `options`.
    Word,
    /// The id of a record, as `fieldValues` gives it.
    Reference,
    /// A code of the company's list.
    Code,
}

/// How many operands an operator takes.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(remote = "domain::vocabulary::operator::Arity")]
pub enum Arity {
    /// None.
    None,
    /// One.
    One,
    /// A list with at least one element.
    Many,
}

/// An operator on one field.
#[record]
#[derive(SimpleObject)]
pub struct FieldOperator {
    /// What goes into a condition's `operator`.
    key: &'static str,
    /// What stands between the field and the operand in a sentence.
    label: &'static str,
    /// What it means.
    description: &'static str,
    /// How many operands it takes.
    arity: Arity,
    /// What the operand, or each of them, is.
    value_kind: ValueKind,
}

impl From<OperatorEntry> for FieldOperator {
    fn from(entry: OperatorEntry) -> Self {
        let arity = Operator::parse(entry.key).map_or(operator::Arity::One, Operator::arity);
        Self {
            key: entry.key,
            label: entry.label,
            description: entry.description,
            arity: arity.into(),
            value_kind: entry.value_kind.into(),
        }
    }
}

/// A word of a closed list.
#[record]
#[derive(SimpleObject)]
pub struct FieldOption {
    /// What goes into a condition's `value`.
    value: &'static str,
    /// The word for people.
    label: String,
    /// The place in the list; in an ordered list the higher is the worse.
    rank: i32,
}

impl From<OptionEntry> for FieldOption {
    fn from(entry: OptionEntry) -> Self {
        Self { value: entry.value, label: entry.label, rank: entry.rank.into() }
    }
}

/// A field with all that may be said of it.
#[record]
#[derive(SimpleObject)]
pub struct BuilderField {
    /// What goes into a condition's `field`.
    path: &'static str,
    /// The field for people.
    label: &'static str,
    /// The heading that it stands under.
    group: &'static str,
    /// What it tells.
    description: &'static str,
    /// What kind of value it has.
    kind: FieldKind,
    /// The form element for its operand.
    widget: Widget,
    /// Never missing: `is_empty` never holds.
    always_present: bool,
    /// What may be asked of it.
    operators: Vec<FieldOperator>,
    /// The words of its list; empty for other kinds.
    options: Vec<FieldOption>,
    /// The noun or code list to search for values.
    source: Option<&'static str>,
    /// The least number that it can be.
    min: Option<f64>,
    /// The greatest number that it can be.
    max: Option<f64>,
    /// A value, as an example.
    sample: Json,
}

impl From<FieldEntry> for BuilderField {
    fn from(entry: FieldEntry) -> Self {
        let kind = FINDING.get(entry.path).map_or(FieldKind::Text, |field| field.kind.into());
        Self {
            path: entry.path,
            label: entry.label,
            group: entry.group,
            description: entry.description,
            kind,
            widget: entry.widget.into(),
            always_present: entry.always_present,
            operators: entry.operators.into_iter().map(Into::into).collect(),
            options: entry.options.into_iter().map(Into::into).collect(),
            source: entry.source,
            min: entry.min,
            max: entry.max,
            sample: Json(entry.sample),
        }
    }
}

/// Something that a rule can do.
#[record]
#[derive(SimpleObject)]
pub struct BuilderAction {
    /// What goes into an action's `type`.
    key: &'static str,
    /// The action for people.
    label: &'static str,
    /// What it does.
    description: &'static str,
    /// The action in words; `{…}` stand for members of its configuration.
    sentence: &'static str,
    /// The JSON Schema of its `config`.
    config_schema: Json,
    /// A configuration that is accepted.
    sample: Json,
}

impl From<&ActionType> for BuilderAction {
    fn from(action: &ActionType) -> Self {
        Self {
            key: action.key,
            label: action.label,
            description: action.description,
            sentence: action.sentence,
            config_schema: Json((action.schema)()),
            sample: Json((action.sample)()),
        }
    }
}

/// An operator of the predicate language.
#[record]
#[derive(SimpleObject)]
pub struct BuilderOperator {
    /// What goes into a condition's `operator`.
    key: &'static str,
    /// The operator for people.
    label: &'static str,
    /// What it means.
    description: &'static str,
    /// How many operands it takes.
    arity: Arity,
}

/// What rules and filters are built of.
#[record]
#[derive(SimpleObject)]
pub struct RuleBuilder {
    /// What may be asked about.
    fields: Vec<BuilderField>,
    /// What a rule can do.
    actions: Vec<BuilderAction>,
    /// How it may be asked.
    operators: Vec<BuilderOperator>,
}

/// A kind of event.
#[record]
#[derive(SimpleObject)]
#[graphql(name = "EventKind")]
pub struct EventType {
    /// Its name: `finding_created`.
    key: &'static str,
    /// The noun of the record that it is about.
    subject: &'static str,
    /// What it tells.
    tells: &'static str,
    /// A payload as it carries it.
    sample: Json,
}

/// A format that reports come in.
#[record]
#[derive(SimpleObject)]
pub struct ReportFormatInfo {
    /// Its name.
    key: ReportFormat,
    /// The format for people.
    label: &'static str,
    /// Whether it is read through a mapping. Such a format is never guessed.
    mapped: bool,
    /// What counts as one finding.
    counting: &'static str,
    /// By what a finding is known again.
    identity: &'static str,
    /// Which asset a finding is on.
    asset: &'static str,
    /// The endings of its files.
    extensions: Vec<&'static str>,
    /// Its media types.
    media_types: Vec<&'static str>,
}

/// The formats that reports come in, and the fields that columns are mapped to.
#[record]
#[derive(SimpleObject)]
pub struct ReportFormats {
    /// The formats, in the order in which they are tried on a report that does not say.
    formats: Vec<ReportFormatInfo>,
    /// The keys of the fields that a column can be mapped to.
    mapped: Vec<&'static str>,
}

#[derive(Default)]
pub struct BuilderQuery;

#[root]
#[Object]
impl BuilderQuery {
    /// What rules and filters are built of: fields, operators and actions.
    async fn rule_builder(&self, ctx: &Context<'_>) -> async_graphql::Result<RuleBuilder> {
        actor(ctx)?;
        let operator = |operator: &Operator| BuilderOperator {
            key: operator.name(),
            label: operator.label(),
            description: operator.meaning(),
            arity: operator.arity().into(),
        };
        Ok(RuleBuilder {
            fields: registry(&FINDING).into_iter().map(Into::into).collect(),
            actions: ACTIONS.iter().map(Into::into).collect(),
            operators: Operator::ALL.iter().map(operator).collect(),
        })
    }

    /// The kinds of events.
    async fn event_types(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<EventType>> {
        actor(ctx)?;
        let event = |kind: &EventKind| EventType {
            key: kind.word(),
            subject: kind.subject(),
            tells: kind.tells(),
            sample: Json(kind.sample()),
        };
        Ok(EventKind::ALL.iter().map(event).collect())
    }

    /// The formats that reports come in.
    async fn report_formats(&self, ctx: &Context<'_>) -> async_graphql::Result<ReportFormats> {
        actor(ctx)?;
        let format = |format: &Format| {
            let entry = format.entry();
            ReportFormatInfo {
                key: (*format).into(),
                label: entry.label,
                mapped: entry.mapped,
                counting: entry.counting,
                identity: entry.identity,
                asset: entry.asset,
                extensions: entry.extensions.to_vec(),
                media_types: entry.media_types.to_vec(),
            }
        };
        Ok(ReportFormats {
            formats: Format::ALL.iter().map(format).collect(),
            mapped: Mapped::WORDS.to_vec(),
        })
    }
}
