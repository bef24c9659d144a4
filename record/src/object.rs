//! Objects whose fields are functions.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{
    Attribute, FnArg, GenericArgument, ImplItem, ImplItemFn, ItemImpl, Pat, PatType, PathArguments,
    ReturnType, Type,
};

use crate::fields::{self, entry, lasting};

/// A field of an object, taken apart.
struct Field {
    method: ImplItemFn,
    /// The function as the walk calls it.
    walked: syn::Ident,
    has_context: bool,
    arguments: Vec<PatType>,
    /// The value of one row.
    value: Type,
    form: Form,
}

#[derive(PartialEq)]
enum Form {
    Value,
    OfOne,
    OfMany,
}

pub fn object(item: ItemImpl) -> syn::Result<TokenStream> {
    let ItemImpl { attrs, generics, self_ty, items, .. } = &item;
    let mut fields = Vec::new();
    for member in items {
        match member {
            ImplItem::Fn(method) => fields.push(field(method.clone())?),
            other => return Err(syn::Error::new_spanned(other, "the members of a record are its fields")),
        }
    }
    let names = fields.iter().map(|field| fields::name(&field.method.attrs, &field.method.sig.ident));
    let names: Vec<String> = names.collect::<syn::Result<_>>()?;
    let entries: Vec<_> = fields
        .iter()
        .zip(&names)
        .map(|(field, name)| entry(name, field.form != Form::Value, &field.value))
        .collect();
    let puts = fields.iter().map(put).collect::<syn::Result<Vec<_>>>()?;
    let columns = fields.iter().map(column).collect::<syn::Result<Vec<_>>>()?;
    let record = fields::record(&generics.to_token_stream(), self_ty, &entries, &puts, &columns);
    let stock = fields.iter().map(stock);
    let walked = fields.iter().map(walked);
    Ok(quote! {
        #(#attrs)*
        impl #generics #self_ty {
            #(#stock)*
        }

        #[automatically_derived]
        impl #generics #self_ty {
            #(#walked)*
        }

        #record
    })
}

fn field(method: ImplItemFn) -> syn::Result<Field> {
    let signature = &method.sig;
    let ReturnType::Type(_, answer) = &signature.output else {
        return Err(syn::Error::new_spanned(signature, "a field has a value"));
    };
    let mut inputs = signature.inputs.iter().peekable();
    let form = match (inputs.next(), signature.asyncness) {
        (Some(FnArg::Receiver(_)), None) => Form::Value,
        (Some(FnArg::Receiver(_)), Some(_)) => Form::OfOne,
        (Some(FnArg::Typed(_)), Some(_)) => Form::OfMany,
        _ => return Err(syn::Error::new_spanned(signature, "a field is of a row, or of many and async")),
    };
    let has_context = inputs.next_if(|input| is_context(input)).is_some();
    let arguments: Vec<PatType> = inputs
        .filter_map(|input| match input {
            FnArg::Typed(argument) => Some(argument.clone()),
            FnArg::Receiver(_) => None,
        })
        .collect();
    if form == Form::OfMany && !has_context {
        return Err(syn::Error::new_spanned(signature, "what is asked of many rows takes the context"));
    }
    let value = match form {
        Form::OfMany => of_one(answer)?,
        Form::Value | Form::OfOne => (**answer).clone(),
    };
    let walked = format_ident!("walked_{}", signature.ident);
    Ok(Field { walked, has_context, arguments, value, form, method })
}

fn is_context(input: &FnArg) -> bool {
    let FnArg::Typed(PatType { ty, .. }) = input else { return false };
    let Type::Reference(reference) = &**ty else { return false };
    let Type::Path(path) = &*reference.elem else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "Context")
}

/// `T` of `Result<Vec<T>>`.
fn of_one(answer: &Type) -> syn::Result<Type> {
    inner(answer, "Result").and_then(|list| inner(list, "Vec")).cloned().ok_or_else(|| {
        syn::Error::new_spanned(answer, "a field of many rows answers a Result<Vec<T>>, one value for each")
    })
}

pub fn inner<'t>(ty: &'t Type, of: &str) -> Option<&'t Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == of)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

/// What stays with both copies of a function: lints that are expected of it.
fn lints(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| !attr.path().is_ident("doc") && !attr.path().is_ident("graphql"))
}

/// The function as it was written, under the name that the walk calls it by.
fn walked(field: &Field) -> TokenStream {
    let mut method = field.method.clone();
    method.attrs = lints(&field.method.attrs).cloned().collect();
    method.sig.ident = field.walked.clone();
    method.vis = syn::Visibility::Inherited;
    for input in &mut method.sig.inputs {
        if let FnArg::Typed(argument) = input {
            argument.attrs.clear();
        }
    }
    method.into_token_stream()
}

/// The function as the library wants it: the schema is drawn from it.
fn stock(field: &Field) -> TokenStream {
    let Field { walked, arguments, value, .. } = field;
    let ImplItemFn { attrs, vis, sig, .. } = &field.method;
    let ident = &sig.ident;
    let names: Vec<_> = arguments.iter().map(|argument| &argument.pat).collect();
    let context = field.has_context.then(|| quote!(ctx: &::async_graphql::Context<'_>,));
    let handed = field.has_context.then(|| quote!(ctx,));
    let passed = quote!(#handed #(#names),*);
    let (output, body) = match field.form {
        Form::Value => (quote!(#value), quote!(self.#walked(#passed))),
        Form::OfOne => (quote!(#value), quote!(self.#walked(#passed).await)),
        Form::OfMany => (
            quote!(::async_graphql::Result<#value>),
            quote! {
                let mut values = Self::#walked(&[self], ctx, #(#names),*).await?;
                Ok(values.swap_remove(0))
            },
        ),
    };
    quote! {
        #(#attrs)*
        #vis async fn #ident(&self, #context #(#arguments),*) -> #output {
            #body
        }
    }
}

/// Reads the arguments of a field; `failed` is what is done with an error.
fn read(field: &Field, failed: &TokenStream) -> syn::Result<TokenStream> {
    let mut read = Vec::new();
    for PatType { attrs, pat, ty, .. } in &field.arguments {
        let Pat::Ident(pat) = &**pat else {
            return Err(syn::Error::new_spanned(pat, "an argument is a name"));
        };
        let (ident, name) = (&pat.ident, fields::name(attrs, &pat.ident)?);
        let default = fields::default(attrs, ty)?;
        read.push(quote! {
            let #ident = match field.param_value::<#ty>(#name, #default) {
                Ok((_, value)) => value,
                Err(error) => return #failed,
            };
        });
    }
    let context = (field.has_context || !read.is_empty()).then(|| {
        quote! {
            let field = ctx.with_field(step.field);
        }
    });
    Ok(quote!(#context #(#read)*))
}

/// What is passed to a field of one row.
fn passed(field: &Field) -> TokenStream {
    let context = field.has_context.then(|| quote!(&field,));
    let names = field.arguments.iter().map(|argument| &argument.pat);
    quote!(#context #(#names.clone()),*)
}

fn put(field: &Field) -> syn::Result<TokenStream> {
    if field.form != Form::Value {
        return Ok(quote!(crate::graphql::walk::undeclared()));
    }
    let (walked, passed, value) = (&field.walked, passed(field), lasting(&field.value));
    let failed = quote! {
        out.fail(error, <#value as crate::graphql::walk::Shape>::NULLABLE)
    };
    let read = read(field, &failed)?;
    Ok(quote! {{
        #read
        crate::graphql::walk::put(&self.#walked(#passed), step, ctx, out)
    }})
}

fn column(field: &Field) -> syn::Result<TokenStream> {
    let (walked, passed, value) = (&field.walked, passed(field), lasting(&field.value));
    let failed = quote!(crate::graphql::walk::broken::<#value>(rows.len(), &error));
    let read = read(field, &failed)?;
    let names = field.arguments.iter().map(|argument| &argument.pat);
    Ok(match field.form {
        Form::Value => quote! {
            Box::pin(async move {
                #read
                let values = rows.iter().map(|row| row.#walked(#passed)).collect::<Vec<_>>();
                crate::graphql::walk::column(values, step, ctx).await
            })
        },
        Form::OfOne => quote! {
            Box::pin(async move {
                #read
                let values = rows.iter().map(|row| row.#walked(#passed));
                let values = ::futures_util::future::join_all(values).await;
                crate::graphql::walk::column(values, step, ctx).await
            })
        },
        Form::OfMany => quote! {
            Box::pin(async move {
                #read
                match Self::#walked(rows, &field, #(#names),*).await {
                    Ok(values) => crate::graphql::walk::column(values, step, ctx).await,
                    Err(error) => crate::graphql::walk::broken::<#value>(
                        rows.len(),
                        &error.into_server_error(step.field.pos),
                    ),
                }
            })
        },
    })
}
