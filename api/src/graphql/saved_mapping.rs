//! Saved mappings: what the columns of a house's own reports mean.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use domain::intake::mapping::{Mapped, Mapping};
use domain::intake::saved::{NewSavedMapping, SavedMapping, SavedMappingChange};
use domain::vocabulary::terms::Term;
use record::{record, root};

use super::finding::words::Severity;
use super::id::Noun;
use super::import::{ImportMappingInput, ReportFormat, read_mapping};
use super::page::{Counter, args, connection};
use super::payload::{Gone, mutate, payload};
use super::scalars::DateTime;
use super::{actor, domain, found};

pub struct SavedMappingNode(SavedMapping);

impl From<SavedMapping> for SavedMappingNode {
    fn from(saved_mapping: SavedMapping) -> Self {
        Self(saved_mapping)
    }
}

/// A saved mapping: what the columns of a table, or the members of JSON objects, mean.
#[record]
#[Object(name = "SavedMapping")]
impl SavedMappingNode {
    /// The global id.
    pub fn id(&self) -> ID {
        Noun::SavedMapping.id(self.0.id)
    }

    /// The name; unique in its company.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The format that it is of.
    fn format(&self) -> ReportFormat {
        self.0.format.into()
    }

    /// What it says.
    fn mapping(&self) -> ImportMapping {
        ImportMapping::of(&self.0.mapping)
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Counts its changes: an update names the one that it saw.
    fn version(&self) -> i64 {
        self.0.version
    }
}

/// Where a field is read from.
#[record]
#[derive(SimpleObject)]
pub struct MappedColumn {
    /// The key of the field.
    field: &'static str,
    /// The name of the column in the header row; for JSON the name of a member, or a JSON Pointer.
    column: String,
}

/// The value of a field that no column has.
#[record]
#[derive(SimpleObject)]
pub struct MappedConstant {
    /// The key of the field.
    field: &'static str,
    /// Its value, as a cell would have it.
    value: String,
}

/// What a word of the report means.
#[record]
#[derive(SimpleObject)]
pub struct MappedSeverity {
    /// The report's word.
    word: String,
    /// The severity that it means.
    severity: Severity,
}

/// What the columns of a table, or the members of JSON objects, mean.
#[record]
#[derive(SimpleObject)]
pub struct ImportMapping {
    /// Which column each field is read from.
    columns: Vec<MappedColumn>,
    /// The values of fields whose column is empty, or that have none.
    constants: Vec<MappedConstant>,
    /// The report's words for severities, beyond the usual ones.
    severities: Vec<MappedSeverity>,
    /// What parts the elements of a list in one cell; null for a comma.
    list_separator: Option<String>,
    /// The columns by which a finding is known again; empty for the usual ones.
    identity: Vec<String>,
    /// For JSON: a JSON Pointer to the array of findings; null for the whole document.
    items: Option<String>,
    /// For CSV: what parts the cells; null for what the header row has most of.
    delimiter: Option<String>,
    /// How times are written, in the letters of strftime; null for RFC 3339.
    time_format: Option<String>,
    /// The scanner's name: a part of what findings are known again by.
    scanner: Option<String>,
}

impl ImportMapping {
    fn of(mapping: &Mapping) -> Self {
        let column = |(field, column): (&Mapped, &String)| MappedColumn {
            field: field.word(),
            column: column.clone(),
        };
        let constant =
            |(field, value): (&Mapped, &String)| MappedConstant { field: field.word(), value: value.clone() };
        let severities = mapping.severities.iter();
        Self {
            columns: mapping.columns.iter().map(column).collect(),
            constants: mapping.constants.iter().map(constant).collect(),
            severities: severities
                .map(|(word, severity)| MappedSeverity { word: word.clone(), severity: (*severity).into() })
                .collect(),
            list_separator: mapping.list_separator.clone(),
            identity: mapping.identity.clone(),
            items: mapping.items.clone(),
            delimiter: mapping.delimiter.map(String::from),
            time_format: mapping.time_format.clone(),
            scanner: mapping.scanner.clone(),
        }
    }
}

connection!(
    SavedMappingConnection,
    SavedMappingEdge,
    SavedMappingNode,
    "A page of saved mappings.",
    "A saved mapping in a page."
);

#[derive(Default)]
pub struct SavedMappingQuery;

#[root]
#[Object]
impl SavedMappingQuery {
    /// A mapping of the company, or one that is for all.
    async fn saved_mapping(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The mapping's global id.")] id: ID,
    ) -> async_graphql::Result<Option<SavedMappingNode>> {
        let Ok(id) = Noun::SavedMapping.read(&id) else { return Ok(None) };
        Ok(found(domain(ctx).saved_mapping(actor(ctx)?, id).await)?)
    }

    /// The company's mappings, and those that are for all, by name.
    async fn saved_mappings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many rows from the start, or after a cursor: 50 if not said, at most 500.")]
        first: Option<i32>,
        #[graphql(desc = "Only rows after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many rows from the end, or before a cursor: at most 500.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> async_graphql::Result<SavedMappingConnection> {
        let (domain, actor) = (domain(ctx).clone(), actor(ctx)?.clone());
        let page = domain.saved_mappings(&actor, &args(first, after, last, before)).await?;
        let total = Counter::new(move || {
            let (domain, actor) = (domain.clone(), actor.clone());
            async move { domain.saved_mapping_count(&actor).await }
        });
        Ok(SavedMappingConnection::new(page, total))
    }
}

/// A new mapping.
#[derive(InputObject)]
pub struct SavedMappingCreateInput {
    /// Its name; unique in the company.
    name: String,
    /// The format that it is of: `CSV`, `JSONL` or `JSON`.
    format: ReportFormat,
    /// What it says. The asset may be left to each import.
    mapping: ImportMappingInput,
}

/// What of a mapping is to change.
#[derive(InputObject)]
pub struct SavedMappingUpdateInput {
    /// Another name.
    name: Option<String>,
    /// Another mapping, in the place of the whole one.
    mapping: Option<ImportMappingInput>,
}

payload! {
    /// What `savedMappingCreate` answers.
    SavedMappingCreatePayload {
        /// The new mapping.
        saved_mapping: SavedMappingNode
    }
    /// What `savedMappingUpdate` answers.
    SavedMappingUpdatePayload {
        /// The mapping as it is now.
        saved_mapping: SavedMappingNode
    }
    /// What `savedMappingDelete` answers.
    SavedMappingDeletePayload {
        /// The global id of the mapping that is gone.
        deleted_id: ID
    }
}

#[derive(Default)]
pub struct SavedMappingMutation;

#[root]
#[Object]
impl SavedMappingMutation {
    /// Saves a mapping.
    async fn saved_mapping_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new mapping.")] input: SavedMappingCreateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<SavedMappingCreatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let mapping = input.mapping.read().map_err(|error| error.at("mapping"))?;
                let new = NewSavedMapping { name: input.name, format: input.format.into(), mapping };
                domain.saved_mapping_create(&actor, new).await
            },
            |domain, actor, id| async move { domain.saved_mapping(&actor, id).await },
        )
        .await
    }

    /// Changes a mapping. Imports that were started with it go on with what it was.
    async fn saved_mapping_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The mapping's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "What is to change.")] input: SavedMappingUpdateInput,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<SavedMappingUpdatePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::SavedMapping.read_at(&id, "id")?;
                let mapping = read_mapping(input.mapping)?;
                let change = SavedMappingChange { name: input.name, mapping };
                domain.saved_mapping_update(&actor, id, expected_version, change).await
            },
            |domain, actor, id| async move { domain.saved_mapping(&actor, id).await },
        )
        .await
    }

    /// Deletes a mapping.
    async fn saved_mapping_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The mapping's global id.")] id: ID,
        #[graphql(desc = "The version that the change was made on.")] expected_version: i64,
        #[graphql(desc = "Makes the mutation happen once, however often it is sent with this key.")]
        idempotency_key: Option<String>,
    ) -> async_graphql::Result<SavedMappingDeletePayload> {
        mutate(
            ctx,
            idempotency_key,
            |domain, actor| async move {
                let id = Noun::SavedMapping.read_at(&id, "id")?;
                let gone = domain.saved_mapping_delete(&actor, id, expected_version).await?;
                Ok(Gone(Noun::SavedMapping, gone.id))
            },
            |_, _, id| async move { Ok(Gone(Noun::SavedMapping, id)) },
        )
        .await
    }
}
