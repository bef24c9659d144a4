//! The walk: how a record, a list of them or a page becomes the bytes of an answer.
//!
//! The library resolves each field of each row by a future of its own, and makes a tree of values of
//! them. Here the selection is compiled once ([`plan`]), what is loaded is asked for all rows at once,
//! and then the rows are written one after the other, without waiting, as JSON ([`out`]). The answer
//! follows the specification where the library does not: keys come in the order of the selection, a
//! field that failed is null, and where it cannot be, what holds it is.
//!
//! A type is declared once, for the library's schema; `#[record]` above the declaration tells the walk
//! of it. What is done for many rows goes from the inside out: [`encode_records`] has the columns of its
//! rows made first (each of which may encode rows of its own), and then writes the rows around them.

use std::borrow::Cow;

use async_graphql::parser::types::{Field, SelectionSet};
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, Error, OutputType, Positioned, ServerError, ServerResult, Value};
use futures_util::future::{BoxFuture, join_all};

mod leaf;
mod out;
mod plan;
pub mod root;
#[cfg(test)]
mod tests;

pub use leaf::{Leaf, word};
pub use out::{Column, Failed, Out, Written};
pub use plan::{FieldOf, Plan, Planner, Step, plan_of};

/// The column of a field, to be waited for.
pub type Columns<'a> = BoxFuture<'a, Column>;

/// Writes one row of a value.
pub type PutRow<'f, R> = &'f mut dyn FnMut(&R, &mut Out) -> Written;

/// A type of the schema with fields. `#[record]` implements it.
pub trait Record: OutputType {
    const FIELDS: &'static [FieldOf];

    /// Writes a field for which nothing has to be loaded.
    fn put(&self, step: &Step<'_>, ctx: &ContextSelectionSet<'_>, out: &mut Out) -> Written;

    /// Encodes any field, of many rows at once.
    fn column<'a>(rows: &'a [&'a Self], step: &'a Step<'a>, ctx: &'a ContextSelectionSet<'a>) -> Columns<'a>;
}

/// What stands at the bottom of a value: a record, or one of several.
pub trait Row: Send + Sync {
    fn plan<'a>(planner: &Planner<'a>, sets: &[&'a SelectionSet]) -> Plan<'a>;

    /// Writes a row for which nothing has to be loaded.
    fn put(&self, plan: &Plan<'_>, ctx: &ContextSelectionSet<'_>, out: &mut Out) -> Written;

    /// Encodes rows for which something has to be loaded.
    fn encode<'a>(rows: Vec<&'a Self>, plan: &'a Plan<'a>, ctx: &'a ContextSelectionSet<'a>) -> Columns<'a>;
}

impl<R: Record> Row for R {
    fn plan<'a>(planner: &Planner<'a>, sets: &[&'a SelectionSet]) -> Plan<'a> {
        Plan::new(vec![planner.steps::<R>(sets)])
    }

    fn put(&self, plan: &Plan<'_>, ctx: &ContextSelectionSet<'_>, out: &mut Out) -> Written {
        put_record(self, &plan.kinds[0], ctx, out)
    }

    fn encode<'a>(rows: Vec<&'a Self>, plan: &'a Plan<'a>, ctx: &'a ContextSelectionSet<'a>) -> Columns<'a> {
        Box::pin(encode_records(rows, &plan.kinds[0], ctx))
    }
}

/// A value of a field: a leaf or rows, perhaps none, perhaps many, perhaps an error. `#[record]`
/// implements it for what it declares.
pub trait Shape {
    type Row: Row;

    /// Whether null can stand in its place.
    const NULLABLE: bool = false;

    /// The rows in it, in their order.
    fn rows<'s>(&'s self, rows: &mut Vec<&'s Self::Row>);

    /// Writes it, each of its rows by `row`.
    fn put(&self, out: &mut Out, row: PutRow<'_, Self::Row>) -> Written;
}

impl<T: Shape> Shape for Option<T> {
    type Row = T::Row;

    const NULLABLE: bool = true;

    fn rows<'s>(&'s self, rows: &mut Vec<&'s T::Row>) {
        if let Some(value) = self {
            value.rows(rows);
        }
    }

    fn put(&self, out: &mut Out, row: PutRow<'_, T::Row>) -> Written {
        match self {
            Some(value) => out.or_null(|out| value.put(out, row)),
            None => out.null(),
        }
    }
}

impl<T: Shape> Shape for [T] {
    type Row = T::Row;

    fn rows<'s>(&'s self, rows: &mut Vec<&'s T::Row>) {
        for value in self {
            value.rows(rows);
        }
    }

    fn put(&self, out: &mut Out, row: PutRow<'_, T::Row>) -> Written {
        out.list(self, |value, out| value.put(out, row))
    }
}

impl<T: Shape> Shape for Vec<T> {
    type Row = T::Row;

    fn rows<'s>(&'s self, rows: &mut Vec<&'s T::Row>) {
        self.as_slice().rows(rows);
    }

    fn put(&self, out: &mut Out, row: PutRow<'_, T::Row>) -> Written {
        self.as_slice().put(out, row)
    }
}

impl<T: Shape> Shape for Result<T, Error> {
    type Row = T::Row;

    const NULLABLE: bool = T::NULLABLE;

    fn rows<'s>(&'s self, rows: &mut Vec<&'s T::Row>) {
        if let Ok(value) = self {
            value.rows(rows);
        }
    }

    fn put(&self, out: &mut Out, row: PutRow<'_, T::Row>) -> Written {
        match self {
            Ok(value) => value.put(out, row),
            Err(error) => {
                let Error { message, source, extensions } = error.clone();
                let error = ServerError { source, extensions, ..ServerError::new(message, None) };
                out.fail(error, T::NULLABLE)
            }
        }
    }
}

/// Declares pointers to be what they point to.
macro_rules! pointer {
    ($($pointer:ty),*) => {$(
        impl<T: Shape + ?Sized> Shape for $pointer {
            type Row = T::Row;

            const NULLABLE: bool = T::NULLABLE;

            fn rows<'s>(&'s self, rows: &mut Vec<&'s T::Row>) {
                T::rows(self, rows);
            }

            fn put(&self, out: &mut Out, row: PutRow<'_, T::Row>) -> Written {
                T::put(self, out, row)
            }
        }
    )*};
}

pointer!(&T, std::sync::Arc<T>, Box<T>);

/// Writes the value of a field for which nothing has to be loaded.
pub fn put<V: Shape>(value: &V, step: &Step<'_>, ctx: &ContextSelectionSet<'_>, out: &mut Out) -> Written {
    value.put(out, &mut |row, out| row.put(&step.plan, ctx, out))
}

/// Encodes the values that a field has in many rows.
pub async fn column<V: Shape + Send + Sync>(
    values: Vec<V>,
    step: &Step<'_>,
    ctx: &ContextSelectionSet<'_>,
) -> Column {
    let mut out = Out::default();
    let mut encoded = Column::default();
    if step.plan.loads {
        let mut rows = Vec::new();
        for value in &values {
            value.rows(&mut rows);
        }
        encoded = V::Row::encode(rows, &step.plan, ctx).await;
        out.expect(std::slice::from_ref(&encoded));
    }
    for value in &values {
        let written = if step.plan.loads {
            value.put(&mut out, &mut |_, out| encoded.next(out))
        } else {
            put(value, step, ctx, &mut out)
        };
        out.end_row(written);
    }
    out.into()
}

/// The column of a field that failed for all rows.
pub fn broken<V: Shape>(rows: usize, error: &ServerError) -> Column {
    let mut out = Out::default();
    for _ in 0..rows {
        let written = out.fail(error.clone(), V::NULLABLE);
        out.end_row(written);
    }
    out.into()
}

/// Encodes records: their columns at the same time, then the rows around them.
pub async fn encode_records<R: Record>(
    rows: Vec<&R>,
    steps: &[Step<'_>],
    ctx: &ContextSelectionSet<'_>,
) -> Column {
    let mut out = Out::default();
    if rows.is_empty() {
        return out.into();
    }
    let columns = steps.iter().filter(|step| step.loads).map(|step| R::column(&rows, step, ctx));
    let mut columns = join_all(columns).await;
    out.expect(&columns);
    for row in &rows {
        let written = put_around(*row, steps, &mut columns, ctx, &mut out);
        out.end_row(written);
    }
    out.into()
}

/// Writes a record for which nothing has to be loaded.
pub fn put_record<R: Record>(
    row: &R,
    steps: &[Step<'_>],
    ctx: &ContextSelectionSet<'_>,
    out: &mut Out,
) -> Written {
    put_around(row, steps, &mut [], ctx, out)
}

/// Writes a record around what was loaded for it. All of it is written even if one field fails, so that
/// each column moves on by one row, and every error is told.
fn put_around<R: Record>(
    row: &R,
    steps: &[Step<'_>],
    columns: &mut [Column],
    ctx: &ContextSelectionSet<'_>,
    out: &mut Out,
) -> Written {
    let mut columns = columns.iter_mut();
    out.object(steps, |step, out| match step.index {
        Step::TYPE_NAME => out.text(&R::type_name()),
        _ if step.loads => columns.next().map_or(Err(Failed), |column| column.next(out)),
        _ => row.put(step, ctx, out),
    })
}

/// Puts the encoded rows of several kinds back into one order.
pub fn interleave(kinds: &[usize], mut columns: Vec<Column>) -> Column {
    let mut out = Out::default();
    for kind in kinds {
        let written = columns[*kind].next(&mut out);
        out.end_row(written);
    }
    out.into()
}

/// A step that no field is declared for. Plans are made of declared fields alone.
pub fn undeclared() -> ! {
    unreachable!("a plan is made of declared fields, and loads what has to be loaded")
}

/// In the data of a request, it leaves the walk to the library: what the walk is tested against.
pub struct Stock;

/// A value of the schema that the walk writes. To the schema it is what it holds.
pub struct Walked<T>(pub T);

impl<T: OutputType + Shape> OutputType for Walked<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::qualified_type_name()
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        self.0.introspection_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    /// The bytes of the value, as a binary value. A field that fails and takes all of it along is
    /// answered as an error, those beside it are errors of the request.
    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        if ctx.data_opt::<Stock>().is_some() {
            return self.0.resolve(ctx, field).await;
        }
        let step = Step::outermost(field, T::Row::plan(&Planner::new(ctx), &[&ctx.item.node]));
        let (written, bytes, faults) = column(vec![&self.0], &step, ctx).await.into_row();
        let mut errors = faults.into_iter().map(|fault| fault.place(ctx, field));
        let last = match written {
            Ok(()) => None,
            Err(Failed) => errors.next(),
        };
        errors.for_each(|error| ctx.add_error(error));
        match last {
            Some(error) => Err(error),
            None if bytes == b"null" => Ok(Value::Null),
            None => Ok(Value::Binary(bytes.into())),
        }
    }
}
