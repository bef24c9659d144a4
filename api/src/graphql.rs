//! The GraphQL surface: one file a noun, with its types, queries and mutations together.
//!
//! A resolver parses, calls the domain and presents; it decides nothing. The one who acts comes
//! with the request, and everything that is asked of the domain is asked in its name.

use async_graphql::{Context, MergedObject, MergedSubscription, SDLExportOptions, SchemaBuilder};
use domain::Domain;
use domain::access::Actor;
use domain::error::{Code, Error, Result};

use crate::server::documents::Validation;
use crate::server::reply::write_value;
use crate::server::schema::AnySchema;
use crate::server::settings::Settings;

pub mod absence;
pub mod approval;
pub mod asset;
pub mod audit;
pub mod builder;
pub mod code;
pub mod company;
pub mod criteria;
pub mod cursor;
pub mod evidence;
pub mod finding;
pub mod id;
pub mod import;
pub mod intel;
pub mod invitation;
pub mod job;
pub mod loaders;
pub mod membership;
pub mod node;
pub mod page;
pub mod payload;
pub mod person;
pub mod policy;
pub mod project;
pub mod rule;
pub mod saved_mapping;
pub mod scalars;
pub mod scan;
pub mod service_account;
pub mod session;
pub mod stream;
pub mod team;
pub mod token;
pub mod user;
pub mod vex;
pub mod view;
pub mod viewer;
pub mod walk;
pub mod words;

use walk::root::{Root, Run};

/// What can be asked. Everything is asked in the name of the token's holder, for its company and
/// inside of its portfolio: what lies outside of them does not exist.
#[derive(Default, MergedObject)]
pub struct Query(
    node::NodeQuery,
    viewer::ViewerQuery,
    company::CompanyQuery,
    user::UserQuery,
    team::TeamQuery,
    service_account::ServiceAccountQuery,
    token::TokenQuery,
    session::SessionQuery,
    invitation::InvitationQuery,
    project::ProjectQuery,
    asset::AssetQuery,
    view::ViewQuery,
    saved_mapping::SavedMappingQuery,
    import::preview::PreviewQuery,
    code::CodeQuery,
    audit::AuditQuery,
    scan::ScanQuery,
    intel::IntelQuery,
    vex::VexQuery,
    finding::query::FindingQuery,
    finding::acceptance::AcceptanceQuery,
    finding::request::ChangeRequestQuery,
    policy::PolicyQuery,
    finding::gate::GateQuery,
    rule::RuleQuery,
    rule::trial::TrialQuery,
    rule::preview::PreviewQuery,
    rule::backtest::BacktestQuery,
    rule::warning::WarningQuery,
    rule::library::LibraryQuery,
    rule::application::ApplicationQuery,
    rule::exemption::ExemptionQuery,
    rule::revoke::RevokeQuery,
    rule::set::RuleSetQuery,
    rule::conformance::ConformanceQuery,
    rule::version::RuleVersionQuery,
    approval::ApprovalQuery,
    criteria::CriteriaQuery,
    builder::BuilderQuery,
    job::JobQuery,
);

/// What can be done. A refusal that the caller can mend comes in `userErrors` of the payload; a
/// missing right, a limit or a fault is an error of the request.
#[derive(Default, MergedObject)]
pub struct Mutation(
    company::CompanyMutation,
    user::UserMutation,
    membership::MembershipMutation,
    team::TeamMutation,
    service_account::ServiceAccountMutation,
    token::TokenMutation,
    session::SessionMutation,
    invitation::InvitationMutation,
    project::ProjectMutation,
    asset::AssetMutation,
    view::ViewMutation,
    saved_mapping::SavedMappingMutation,
    code::CodeMutation,
    scan::ScanMutation,
    import::ImportMutation,
    intel::IntelMutation,
    finding::mutation::FindingMutation,
    finding::issue::IssueMutation,
    finding::bulk::BulkMutation,
    finding::acceptance::AcceptanceMutation,
    policy::PolicyMutation,
    rule::mutation::RuleMutation,
    rule::library::LibraryMutation,
    rule::exemption::ExemptionMutation,
    rule::revoke::RevokeMutation,
    rule::set::RuleSetMutation,
    evidence::EvidenceMutation,
    approval::mutation::ApprovalMutation,
    absence::AbsenceMutation,
    job::JobMutation,
);

/// What can be watched. Every item has a cursor: whoever comes back with the last one goes on behind
/// it.
#[derive(Default, MergedSubscription)]
pub struct Subscription(
    finding::subscription::FindingSubscription,
    job::JobSubscription,
    approval::subscription::ApprovalSubscription,
);

pub type Schema = async_graphql::Schema<Root<Query>, Root<Mutation>, Subscription>;

/// The schema on a domain. A request brings its [`Actor`] as data.
pub fn schema(domain: Domain) -> SchemaBuilder<Root<Query>, Root<Mutation>, Subscription> {
    Schema::build(Root::default(), Root::default(), Subscription::default())
        .extension(Run::new(Query::default(), Mutation::default()))
        .extension(Validation)
        .data(domain)
}

/// The schema as a server with these settings runs it.
pub fn served(domain: Domain, settings: &Settings) -> AnySchema {
    let mut schema = schema(domain).data(settings.limits);
    if !settings.development {
        schema = schema.disable_suggestions();
    }
    AnySchema::new(schema.finish())
}

/// The schema in the schema definition language, as `schema.graphql` keeps it: sorted, so that a
/// difference tells what changed and not where it is declared.
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by();
    let options = options.sorted_fields().sorted_arguments().sorted_enum_items();
    let schema = Schema::build(Root::default(), Root::default(), Subscription::default()).finish();
    let mut sdl = schema.sdl_with_options(options);
    // One newline at the end, as in every text file.
    sdl.truncate(sdl.trim_end().len());
    sdl.push('\n');
    sdl
}

/// The data of a response as JSON, for those who ask the schema directly.
pub fn data(response: &async_graphql::Response) -> serde_json::Value {
    let mut json = Vec::new();
    write_value(&mut json, &response.data);
    serde_json::from_slice(&json).unwrap_or_default()
}

/// The domain that the schema stands on.
pub(crate) fn domain<'a>(ctx: &Context<'a>) -> &'a Domain {
    ctx.data_unchecked::<Domain>()
}

/// The one who asks.
pub(crate) fn actor<'a>(ctx: &Context<'a>) -> Result<&'a Actor> {
    let unknown = |_| Error::new(Code::Unauthenticated, Code::Unauthenticated.meaning());
    ctx.data::<Actor>().map_err(unknown)
}

/// A record, or null where there is none that the caller may see.
pub(crate) fn found<T, N: From<T>>(result: Result<T>) -> Result<Option<N>> {
    match result {
        Ok(record) => Ok(Some(record.into())),
        Err(error) if error.code == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
