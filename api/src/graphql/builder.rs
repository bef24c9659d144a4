//! The catalogues as types: everything that a client must know to draw the builder of rules and
//! filters, and the forms of imports.

use async_graphql::{Context, Enum, Object, SimpleObject};
use domain::event::catalogue::EventKind;
use domain::finding::query::SCAN_BOUND;
use domain::intake::format::Format;
use domain::intake::mapping::Mapped;
use domain::inventory::{code, source};
use domain::rule;
use domain::rule::action::{ACTIONS, ActionType};
use domain::rule::preview::Reach;
use domain::rule::preview::kept::KEPT;
use domain::vocabulary::criteria::{self, Logic};
use domain::vocabulary::field::finding::FINDING;
use domain::vocabulary::kind;
use domain::vocabulary::operator::{self, Operator};
use domain::vocabulary::registry::{FieldEntry, OperatorEntry, OptionEntry, Search, registry};
use domain::vocabulary::terms::Term;
use domain::vocabulary::time::Span;
use record::{record, root};

use super::import::ReportFormat;
use super::scalars::Json;
use super::{actor, domain};

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

/// A colour in which a word may be shown.
#[record]
#[derive(Clone, Copy, Debug, Enum, PartialEq, Eq)]
#[graphql(name = "ColourHint", remote = "domain::vocabulary::kind::Colour")]
pub enum Colour {
    /// Of little weight, or done with.
    Grey,
    /// Good.
    Green,
    /// Calm.
    Blue,
    /// To be noticed.
    Yellow,
    /// To be dealt with.
    Orange,
    /// Bad.
    Red,
    /// The worst, or out of the ordinary.
    Purple,
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
    /// The JSON Schema of a condition's `value`; null where there is none.
    value_schema: Option<Json>,
    /// The condition in words: `{field}` stands for the field's `phrase` and `{value}` for the operand,
    /// or for operands with commas between them.
    sentence: String,
    /// Whether each operand stands in quotation marks there, as JSON writes a text.
    quoted: bool,
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
            value_schema: entry.value_schema.map(Json),
            sentence: entry.sentence,
            quoted: entry.value_kind.is_quoted(),
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
    /// A colour for it.
    colour: Colour,
}

impl From<OptionEntry> for FieldOption {
    fn from(entry: OptionEntry) -> Self {
        Self { value: entry.value, label: entry.label, rank: entry.rank.into(), colour: entry.colour.into() }
    }
}

/// A query that finds values of a field.
#[record]
#[derive(SimpleObject)]
pub struct FieldSearch {
    /// The query: what is looked for is its `query`, how much is found its `first`.
    query: &'static str,
    /// An argument that it takes beside those.
    argument: &'static str,
    /// What that argument is.
    value: &'static str,
}

impl From<Search> for FieldSearch {
    fn from(Search { query, argument, value }: Search) -> Self {
        Self { query, argument, value }
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
    /// What a sentence calls it.
    phrase: String,
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
    /// The noun or code list that its values are of.
    source: Option<&'static str>,
    /// How to find values: records and codes of the company, or of free text what findings have already;
    /// null where `options` are all that there are, and for numbers, times and switches.
    search: Option<FieldSearch>,
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
            phrase: entry.phrase,
            group: entry.group,
            description: entry.description,
            kind,
            widget: entry.widget.into(),
            always_present: entry.always_present,
            operators: entry.operators.into_iter().map(Into::into).collect(),
            options: entry.options.into_iter().map(Into::into).collect(),
            source: entry.source,
            search: entry.search.map(Into::into),
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
    /// The JSON Schema of its `config`. `x-field` names the field whose values are meant.
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

/// How conditions are joined.
#[record]
#[derive(SimpleObject)]
pub struct BuilderLogic {
    /// What goes into a group's `logic`, and between its conditions in a sentence. A group of several
    /// inside of another stands in brackets.
    key: &'static str,
    /// The logic for people.
    label: &'static str,
}

/// How large a rule may be, and what is tried of it.
#[record]
#[derive(SimpleObject)]
pub struct BuilderLimits {
    /// Bytes of a rule's name.
    name_bytes: usize,
    /// Bytes of a rule's description.
    description_bytes: usize,
    /// Groups inside of each other, the outermost among them.
    depth: usize,
    /// Conditions in a tree.
    conditions: usize,
    /// Values of one `in`, `not_in` or `all_in`.
    values: usize,
    /// Values of all of these together.
    values_in_tree: usize,
    /// Bytes of one text value.
    text_bytes: usize,
    /// Characters of one regular expression.
    pattern_characters: usize,
    /// Regular expressions in a tree.
    patterns: usize,
    /// Bytes that one regular expression may take once it is compiled.
    pattern_bytes: usize,
    /// Findings that a filter with regular expressions is asked of at most.
    pattern_findings: i64,
    /// How many values a sentence names of a list; behind them it says how many more there are.
    values_in_sentence: usize,
    /// Users, teams, tags or codes that one action names.
    action_names: usize,
    /// The newest active findings that a preview evaluates.
    preview: usize,
    /// The newest active findings that `ruleAffected` evaluates.
    affected: usize,
    /// Minutes for which the pages of a preview can be asked for.
    preview_minutes: i64,
    /// Codes in one list of a company.
    codes: i64,
}

impl BuilderLimits {
    fn of_this_release() -> Self {
        Self {
            name_bytes: rule::limits::NAME_BYTES,
            description_bytes: rule::limits::DESCRIPTION_BYTES,
            depth: criteria::limits::DEPTH,
            conditions: criteria::limits::LEAVES,
            values: criteria::limits::VALUES,
            values_in_tree: criteria::limits::VALUES_IN_TREE,
            text_bytes: criteria::limits::TEXT_BYTES,
            pattern_characters: criteria::limits::PATTERN_CHARS,
            patterns: criteria::limits::PATTERNS,
            pattern_bytes: criteria::limits::PATTERN_BYTES,
            pattern_findings: SCAN_BOUND,
            values_in_sentence: criteria::NAMED,
            action_names: rule::action::MAX_NAMES,
            preview: Reach::Preview.most(),
            affected: Reach::Affected.most(),
            preview_minutes: KEPT.0 / Span::MINUTE.0,
            codes: code::CODES,
        }
    }
}

/// A record or code that references and codes can name.
#[record]
#[derive(SimpleObject)]
pub struct SourceValue {
    /// The value as criteria and actions write it.
    value: String,
    /// What people read for it.
    label: String,
}

impl From<source::SourceValue> for SourceValue {
    fn from(source::SourceValue { value, label }: source::SourceValue) -> Self {
        Self { value, label }
    }
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
    /// How conditions are joined.
    logics: Vec<BuilderLogic>,
    /// How large all of it may be.
    limits: BuilderLimits,
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
            logics: vec![
                BuilderLogic { key: Logic::And.word(), label: "All of these" },
                BuilderLogic { key: Logic::Or.word(), label: "Any of these" },
            ],
            limits: BuilderLimits::of_this_release(),
        })
    }

    /// Records of the company that references and codes can name, by their labels.
    async fn source_values(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `source` of a field: user, team, project, company, or a list of codes.")]
        source: String,
        #[graphql(desc = "A part of the label, ignoring the case of ASCII letters.")] query: Option<String>,
        #[graphql(desc = "How many values: at most 500.", default = 20)] first: i32,
    ) -> async_graphql::Result<Vec<SourceValue>> {
        let found = domain(ctx).source_values(actor(ctx)?, &source, query.as_deref(), first.into()).await?;
        Ok(found.into_iter().map(Into::into).collect())
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
