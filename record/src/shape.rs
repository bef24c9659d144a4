//! Objects whose fields are members, and types that are one of several.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Fields, ItemEnum, ItemStruct, Type};

use crate::fields::{self, entry};
use crate::object::inner;

/// An object whose fields are members.
pub fn object(item: &ItemStruct) -> syn::Result<TokenStream> {
    let Fields::Named(members) = &item.fields else {
        return Err(syn::Error::new_spanned(item, "the members of a record have names"));
    };
    let (mut entries, mut puts, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for member in &members.named {
        let Some(ident) = &member.ident else { continue };
        entries.push(entry(&fields::name(&member.attrs, ident)?, false, &member.ty));
        puts.push(quote!(crate::graphql::walk::put(&self.#ident, step, ctx, out)));
        columns.push(quote! {{
            let values = rows.iter().map(|row| &row.#ident).collect::<Vec<_>>();
            Box::pin(crate::graphql::walk::column(values, step, ctx))
        }});
    }
    let (ident, generics) = (&item.ident, item.generics.to_token_stream());
    let ty: Type = syn::parse_quote!(#ident);
    let record = fields::record(&generics, &ty, &entries, &puts, &columns);
    Ok(quote!(#item #record))
}

/// A word of a list, or one of several records.
pub fn choice(item: &ItemEnum) -> syn::Result<TokenStream> {
    let ident = &item.ident;
    if item.variants.iter().all(|variant| matches!(variant.fields, Fields::Unit)) {
        return Ok(quote! {
            #item

            #[automatically_derived]
            impl crate::graphql::walk::Shape for #ident {
                type Row = crate::graphql::walk::Leaf;

                fn rows<'s>(&'s self, _: &mut Vec<&'s Self::Row>) {}

                fn put(
                    &self,
                    out: &mut crate::graphql::walk::Out,
                    _: crate::graphql::walk::PutRow<'_, Self::Row>,
                ) -> crate::graphql::walk::Written {
                    crate::graphql::walk::word(*self, out)
                }
            }
        });
    }
    let (mut names, mut types) = (Vec::new(), Vec::new());
    for variant in &item.variants {
        let Fields::Unnamed(fields) = &variant.fields else {
            return Err(syn::Error::new_spanned(variant, "each variant holds a record"));
        };
        names.push(&variant.ident);
        let ty = &fields.unnamed[0].ty;
        types.push(inner(ty, "Arc").unwrap_or(ty));
    }
    let at: Vec<usize> = (0..names.len()).collect();
    let shape = fields::shape(&TokenStream::new(), &syn::parse_quote!(#ident));
    Ok(quote! {
        #item

        #[automatically_derived]
        impl crate::graphql::walk::Row for #ident {
            fn plan<'a>(
                planner: &crate::graphql::walk::Planner<'a>,
                sets: &[&'a ::async_graphql::parser::types::SelectionSet],
            ) -> crate::graphql::walk::Plan<'a> {
                crate::graphql::walk::Plan::new(vec![#(planner.steps::<#types>(sets)),*])
            }

            fn put(
                &self,
                plan: &crate::graphql::walk::Plan<'_>,
                ctx: &::async_graphql::ContextSelectionSet<'_>,
                out: &mut crate::graphql::walk::Out,
            ) -> crate::graphql::walk::Written {
                match self {
                    #(Self::#names(row) => crate::graphql::walk::put_record::<#types>(row, &plan.kinds[#at], ctx, out),)*
                }
            }

            fn encode<'a>(
                rows: Vec<&'a Self>,
                plan: &'a crate::graphql::walk::Plan<'a>,
                ctx: &'a ::async_graphql::ContextSelectionSet<'a>,
            ) -> crate::graphql::walk::Columns<'a> {
                Box::pin(async move {
                    let kinds: Vec<usize> =
                        rows.iter().map(|row| match row { #(Self::#names(_) => #at,)* }).collect();
                    let columns = vec![#({
                        let rows = rows.iter().filter_map(|row| match row {
                            Self::#names(row) => {
                                let row: &#types = row;
                                Some(row)
                            }
                            _ => None,
                        });
                        crate::graphql::walk::encode_records::<#types>(rows.collect(), &plan.kinds[#at], ctx).await
                    }),*];
                    crate::graphql::walk::interleave(&kinds, columns)
                })
            }
        }

        #shape
    })
}
