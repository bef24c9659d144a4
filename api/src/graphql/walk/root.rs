//! Operations: the root of an answer, by the specification.
//!
//! The library parses, validates and answers introspection. The fields of our own roots it does not
//! run: when it gets to one, the root hands over the context of the operation, and once the library is
//! done, the operation is run here: same keys merged into one field that runs once, keys in the order of
//! the selection, and null up to where null can stand.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::context::QueryEnv;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextPrepareRequest,
};
use async_graphql::parser::types::{Field, OperationType};
use async_graphql::registry::Registry;
use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ObjectType, OutputType, PathSegment, Positioned, Request,
    Response, SchemaEnv, ServerResult, Value,
};

use futures_util::future::join_all;

use super::{Planner, Stock};
use crate::server::reply::{encode, write_value};

/// The context of an operation, from where the library would run it. It is taken out again, or the
/// request would hold itself.
#[derive(Default)]
struct Handover(Mutex<Option<(SchemaEnv, QueryEnv)>>);

impl Handover {
    fn held(&self) -> MutexGuard<'_, Option<(SchemaEnv, QueryEnv)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A root of the schema whose fields are run here.
#[derive(Default)]
pub struct Root<T>(pub T);

impl<T: ObjectType> OutputType for Root<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        self.0.resolve(ctx, field).await
    }
}

impl<T: ObjectType> ContainerType for Root<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        match ctx.data_opt::<Handover>() {
            Some(handover) => {
                *handover.held() = Some((ctx.schema_env.clone(), ctx.query_env.clone()));
                Ok(Some(Value::Null))
            }
            None => self.0.resolve_field(ctx).await,
        }
    }
}

impl<T: ObjectType> ObjectType for Root<T> {}

/// Runs the operations of a schema, on its two roots.
pub struct Run<Q, M>(Arc<(Q, M)>);

impl<Q, M> Run<Q, M> {
    pub fn new(query: Q, mutation: M) -> Self {
        Self(Arc::new((query, mutation)))
    }
}

impl<Q: ObjectType + 'static, M: ObjectType + 'static> ExtensionFactory for Run<Q, M> {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl<Q: ObjectType + 'static, M: ObjectType + 'static> Extension for Run<Q, M> {
    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        let stock = request.data.contains_key(&std::any::TypeId::of::<Stock>());
        let request = if stock { request } else { request.data(Handover::default()) };
        next.run(ctx, request).await
    }

    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(ctx, name).await;
        let taken = ctx.data_opt::<Handover>().and_then(|handover| handover.held().take());
        let Some((schema, query)) = &taken else {
            // Nothing of ours was asked for; perhaps nothing at all.
            if response.data == Value::Null && response.errors.is_empty() {
                response.data = Value::Object(Default::default());
            }
            return response;
        };
        let (queries, mutations) = &*self.0;
        match query.operation.node.ty {
            OperationType::Query => run(queries, schema, query, response).await,
            OperationType::Mutation => run(mutations, schema, query, response).await,
            OperationType::Subscription => response,
        }
    }
}

/// Runs an operation: queries all at once, mutations one after the other.
async fn run<T: ObjectType>(
    root: &T,
    schema: &SchemaEnv,
    query: &QueryEnv,
    mut response: Response,
) -> Response {
    let set = &query.operation.node.selection_set;
    let ctx = query.create_context(schema, None, set, None);
    let planner = Planner::new(&ctx);
    let selected = planner.selected(&T::type_name(), &[&set.node]);
    let fields: Vec<Cow<'_, Positioned<Field>>> = selected.values().map(|fields| merged(fields)).collect();
    let answers = match query.operation.node.ty {
        OperationType::Mutation => {
            let mut answers = Vec::with_capacity(fields.len());
            for field in &fields {
                answers.push(answer(root, &ctx, &response.data, field).await);
            }
            answers
        }
        _ => join_all(fields.iter().map(|field| answer(root, &ctx, &response.data, field))).await,
    };
    let mut json = Vec::with_capacity(256);
    let mut whole = true;
    for ((key, field), value) in selected.keys().zip(&fields).zip(answers) {
        json.push(if json.is_empty() { b'{' } else { b',' });
        json.append(&mut encode(*key));
        json.push(b':');
        let value = value.unwrap_or_else(|mut error| {
            if error.path.is_empty() {
                error.path.push(PathSegment::Field((*key).to_owned()));
            }
            ctx.add_error(error);
            Value::Null
        });
        whole = whole && (value != Value::Null || nullable::<T>(schema, &field.node));
        write_value(&mut json, &value);
    }
    if json.is_empty() {
        json.push(b'{');
    }
    json.push(b'}');
    response.data = if whole { Value::Binary(json.into()) } else { Value::Null };
    response.errors.append(&mut query.errors.lock().unwrap_or_else(PoisonError::into_inner));
    let mut headers = query.http_headers.lock().unwrap_or_else(PoisonError::into_inner);
    response.http_headers.extend(std::mem::take(&mut *headers));
    drop(headers);
    response
}

/// The value of a field: our own, or what the library answered for its own.
async fn answer<T: ObjectType>(
    root: &T,
    ctx: &ContextSelectionSet<'_>,
    stock: &Value,
    field: &Positioned<Field>,
) -> ServerResult<Value> {
    let name = field.node.name.node.as_str();
    if name == "__typename" {
        return Ok(Value::String(T::type_name().into_owned()));
    }
    if name.starts_with("__") {
        let Value::Object(members) = stock else { return Ok(Value::Null) };
        return Ok(members.get(field.node.response_key().node.as_str()).cloned().unwrap_or_default());
    }
    Ok(root.resolve_field(&ctx.with_field(field)).await?.unwrap_or_default())
}

/// One field with the selections of all that have its key.
fn merged<'a>(fields: &[&'a Positioned<Field>]) -> Cow<'a, Positioned<Field>> {
    if let [field] = fields {
        return Cow::Borrowed(field);
    }
    let mut field = fields[0].clone();
    let sets = fields[1..].iter().map(|field| &field.node.selection_set.node.items);
    field.node.selection_set.node.items.extend(sets.flatten().cloned());
    Cow::Owned(field)
}

fn nullable<T: ObjectType>(schema: &SchemaEnv, field: &Field) -> bool {
    let root = schema.registry.types.get(&*T::type_name());
    let declared = root.and_then(|root| root.field_by_name(field.name.node.as_str()));
    // `__schema` and `__typename` are not declared, and never null; `__type` can be.
    declared.map_or(field.name.node == "__type", |declared| !declared.ty.ends_with('!'))
}
