//! `#[record]` and `#[root]`: what the walk of `api/src/graphql/walk.rs` needs to know of a type, drawn
//! from the declaration that its schema is drawn from.
//!
//! `#[record]` stands above `#[Object]`, `#[derive(SimpleObject)]`, `#[derive(Union)]`,
//! `#[derive(Interface)]` or `#[derive(Enum)]`. The fields of an object are functions of four forms:
//!
//! | form | what it is |
//! | --- | --- |
//! | `fn title(&self) -> T` | a value of the record |
//! | `fn viewer_can(&self, ctx) -> T` | a value that hangs on the request too |
//! | `async fn asset(rows: &[&Self], ctx) -> Result<Vec<T>>` | what is loaded, for many records at once |
//! | `async fn total_count(&self) -> T` | what is loaded for one record, where there are no others |
//!
//! Each may take arguments behind these.
//!
//! `#[root]` stands above the `#[Object]` of queries and mutations:
//! what their functions answer is walked.

mod fields;
mod object;
mod root;
mod shape;

use proc_macro::TokenStream;
use syn::{Item, parse_macro_input};

/// Declares a type of the schema to the walk.
#[proc_macro_attribute]
pub fn record(_: TokenStream, item: TokenStream) -> TokenStream {
    let done = match parse_macro_input!(item as Item) {
        Item::Impl(item) => object::object(item),
        Item::Struct(item) => shape::object(&item),
        Item::Enum(item) => shape::choice(&item),
        other => Err(syn::Error::new_spanned(other, "a record is an impl, a struct or an enum")),
    };
    done.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Has the walk write what the functions of a root answer.
#[proc_macro_attribute]
pub fn root(_: TokenStream, item: TokenStream) -> TokenStream {
    root::root(parse_macro_input!(item)).unwrap_or_else(syn::Error::into_compile_error).into()
}
