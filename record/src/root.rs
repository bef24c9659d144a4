//! Roots: what their functions answer is walked.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{FnArg, GenericArgument, ImplItem, ItemImpl, PathArguments, ReturnType, Type};

pub fn root(mut item: ItemImpl) -> syn::Result<TokenStream> {
    for member in &mut item.items {
        let ImplItem::Fn(method) = member else { continue };
        let ReturnType::Type(_, answer) = &method.sig.output else {
            return Err(syn::Error::new_spanned(&method.sig, "a field has a value"));
        };
        if let Some(FnArg::Typed(argument)) = method.sig.inputs.first() {
            return Err(syn::Error::new_spanned(argument, "a root has one row"));
        }
        let block = &method.block;
        let (output, body): (Type, _) = match result(answer) {
            Some(value) => (
                syn::parse_quote!(::async_graphql::Result<crate::graphql::walk::Walked<#value>>),
                quote! {{
                    let answer: #answer = async move #block.await;
                    answer.map(crate::graphql::walk::Walked)
                }},
            ),
            None => (
                syn::parse_quote!(crate::graphql::walk::Walked<#answer>),
                quote! {{
                    let answer: #answer = async move #block.await;
                    crate::graphql::walk::Walked(answer)
                }},
            ),
        };
        method.block = syn::parse2(body)?;
        method.sig.output = ReturnType::Type(Default::default(), Box::new(output));
    }
    Ok(item.into_token_stream())
}

/// `T` of `Result<T>`.
fn result(answer: &Type) -> Option<&Type> {
    let Type::Path(path) = answer else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}
