//! Values without fields.

use async_graphql::parser::types::SelectionSet;
use async_graphql::resolver_utils::EnumType;
use async_graphql::{ContextSelectionSet, ID, ScalarType};

use super::{Column, Columns, Out, Plan, Planner, PutRow, Row, Shape, Written};
use crate::graphql::payload::UserErrorCode;
use crate::graphql::scalars::{DateTime, Duration, Json};
use crate::server::reply::write_value;

/// The row of a value that has none.
pub enum Leaf {}

impl Row for Leaf {
    fn plan<'a>(_: &Planner<'a>, _: &[&'a SelectionSet]) -> Plan<'a> {
        Plan::default()
    }

    fn put(&self, _: &Plan<'_>, _: &ContextSelectionSet<'_>, _: &mut Out) -> Written {
        match *self {}
    }

    fn encode<'a>(_: Vec<&'a Self>, _: &'a Plan<'a>, _: &'a ContextSelectionSet<'a>) -> Columns<'a> {
        Box::pin(async { Column::default() })
    }
}

/// Declares leaves, and how each is written.
macro_rules! leaves {
    ($($leaf:ty: $put:expr;)*) => {$(
        impl Shape for $leaf {
            type Row = Leaf;

            fn rows<'s>(&'s self, _: &mut Vec<&'s Leaf>) {}

            fn put(&self, out: &mut Out, _: PutRow<'_, Leaf>) -> Written {
                let put: fn(&Self, &mut Out) -> Written = $put;
                put(self, out)
            }
        }
    )*};
}

leaves! {
    bool: |value, out| out.raw(if *value { b"true".as_slice() } else { b"false" });
    i32: |value, out| out.serialize(value);
    i64: |value, out| out.serialize(value);
    u32: |value, out| out.serialize(value);
    u64: |value, out| out.serialize(value);
    usize: |value, out| out.serialize(value);
    f64: |value, out| out.serialize(value);
    str: |text, out| out.text(text);
    String: |text, out| out.text(text);
    ID: |id, out| out.text(id);
    Json: |json, out| out.serialize(&json.0);
    DateTime: |at, out| out.shown(&at.0);
    Duration: scalar;
    crate::graphql::criteria::Criteria: scalar;
    UserErrorCode: |code, out| out.text(code.word());
}

fn scalar(value: &impl ScalarType, out: &mut Out) -> Written {
    out.append(|json| write_value(json, &value.to_value()))
}

/// Writes a word of a list of the schema.
pub fn word<T: EnumType>(word: T, out: &mut Out) -> Written {
    let item = T::items().iter().find(|item| item.value == word);
    out.text(item.map_or("", |item| item.name))
}
