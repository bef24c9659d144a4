//! The parts that both forms of objects have.

use proc_macro2::TokenStream;
use quote::quote;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Expr, ExprLit, Lit, Meta, MetaNameValue, Token, Type, punctuated::Punctuated};

/// The name that a field or argument has in the schema.
pub fn name(attrs: &[Attribute], ident: &syn::Ident) -> syn::Result<String> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("graphql")) {
        for meta in attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            if let Meta::NameValue(MetaNameValue {
                path,
                value: Expr::Lit(ExprLit { lit: Lit::Str(name), .. }),
                ..
            }) = meta
                && path.is_ident("name")
            {
                return Ok(name.value());
            }
        }
    }
    Ok(camel(&ident.to_string()))
}

/// The default of an argument, as the library reads it.
pub fn default(attrs: &[Attribute], ty: &Type) -> syn::Result<TokenStream> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("graphql")) {
        for meta in attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            match meta {
                Meta::Path(path) if path.is_ident("default") => {
                    return Ok(quote!(Some(<#ty as ::std::default::Default>::default)));
                }
                Meta::NameValue(MetaNameValue { path, value, .. }) if path.is_ident("default") => {
                    return Ok(quote!(Some(|| #value)));
                }
                _ => {}
            }
        }
    }
    Ok(quote!(None))
}

/// `first_seen_at` as `firstSeenAt`.
fn camel(ident: &str) -> String {
    let ident = ident.strip_prefix("r#").unwrap_or(ident);
    let mut parts = ident.split('_').filter(|part| !part.is_empty());
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_at(1);
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(rest);
    }
    name
}

/// The type with `'static` where a lifetime is left out, as a constant has to name it.
pub fn lasting(ty: &Type) -> Type {
    struct Lasting;

    impl VisitMut for Lasting {
        fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
            reference.lifetime = Some(syn::parse_quote!('static));
            visit_mut::visit_type_reference_mut(self, reference);
        }

        fn visit_lifetime_mut(&mut self, lifetime: &mut syn::Lifetime) {
            *lifetime = syn::parse_quote!('static);
        }
    }

    let mut ty = ty.clone();
    Lasting.visit_type_mut(&mut ty);
    ty
}

/// An entry of `Record::FIELDS`.
pub fn entry(name: &str, loads: bool, ty: &Type) -> TokenStream {
    let ty = lasting(ty);
    quote! {
        crate::graphql::walk::FieldOf {
            name: #name,
            loads: #loads,
            plan: crate::graphql::walk::plan_of::<#ty>,
        }
    }
}

/// The impl of `Record` from its parts: entries, and what is done for each field of one row, and of
/// many.
pub fn record(
    generics: &TokenStream,
    ty: &Type,
    entries: &[TokenStream],
    puts: &[TokenStream],
    columns: &[TokenStream],
) -> TokenStream {
    let at = 0..entries.len();
    let puts = at.clone().zip(puts).map(|(at, put)| quote!(#at => #put,));
    let columns = at.zip(columns).map(|(at, column)| quote!(#at => #column,));
    let shape = shape(generics, ty);
    quote! {
        #shape

        #[automatically_derived]
        impl #generics crate::graphql::walk::Record for #ty {
            const FIELDS: &'static [crate::graphql::walk::FieldOf] = &[#(#entries),*];

            fn put(
                &self,
                step: &crate::graphql::walk::Step<'_>,
                ctx: &::async_graphql::ContextSelectionSet<'_>,
                out: &mut crate::graphql::walk::Out,
            ) -> crate::graphql::walk::Written {
                match step.index {
                    #(#puts)*
                    _ => crate::graphql::walk::undeclared(),
                }
            }

            fn column<'a>(
                rows: &'a [&'a Self],
                step: &'a crate::graphql::walk::Step<'a>,
                ctx: &'a ::async_graphql::ContextSelectionSet<'a>,
            ) -> crate::graphql::walk::Columns<'a> {
                match step.index {
                    #(#columns)*
                    _ => crate::graphql::walk::undeclared(),
                }
            }
        }
    }
}

/// The impl of `Shape` of what is a row itself.
pub fn shape(generics: &TokenStream, ty: &Type) -> TokenStream {
    quote! {
        #[automatically_derived]
        impl #generics crate::graphql::walk::Shape for #ty {
            type Row = Self;

            fn rows<'s>(&'s self, rows: &mut Vec<&'s Self::Row>) {
                rows.push(self);
            }

            fn put(
                &self,
                out: &mut crate::graphql::walk::Out,
                row: crate::graphql::walk::PutRow<'_, Self::Row>,
            ) -> crate::graphql::walk::Written {
                row(self, out)
            }
        }
    }
}
