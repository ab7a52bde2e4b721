//! `#[derive(Deserialize)]` without a dependency on serde.
//!
//! What serde's own derive writes names the crate `serde`, which a policy's crate may not have. So
//! the derive is put on a copy of the item, told where serde is and to make the original of it
//! (`remote`, which serde has for types of other crates), and the trait is implemented through that.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::punctuated::Punctuated;
use syn::visit_mut::VisitMut;
use syn::{Attribute, DeriveInput, GenericParam, LitStr, Meta, Path, Result, parse_quote};

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let item: DeriveInput = syn::parse2(item)?;
    let limen = sdk_path(&item.attrs)?;
    let name = &item.ident;
    let copy = copy_for_serde(&item, &limen)?;
    let copy_name = &copy.ident;

    let (_, types, _) = item.generics.split_for_impl();
    let mut generics = item.generics.clone();
    for parameter in item.generics.type_params() {
        let parameter = &parameter.ident;
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(#parameter: #limen::serde::de::Deserialize<'de>));
    }
    generics.params.insert(0, GenericParam::Lifetime(parse_quote!('de)));
    let (parameters, _, bounds) = generics.split_for_impl();
    Ok(quote! {
        const _: () = {
            #copy

            #[automatically_derived]
            impl #parameters #limen::serde::de::Deserialize<'de> for #name #types #bounds {
                fn deserialize<D>(deserializer: D) -> ::core::result::Result<Self, D::Error>
                where
                    D: #limen::serde::de::Deserializer<'de>,
                {
                    #copy_name::deserialize(deserializer)
                }
            }
        };
    })
}

fn sdk_path(attributes: &[Attribute]) -> Result<Path> {
    let mut path = parse_quote!(::limen);
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("limen")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown argument; the derive takes none but `crate = path`"));
            }
            path = meta.value()?.parse()?;
            Ok(())
        })?;
    }
    Ok(path)
}

/// The item with serde's attributes and no others, under another name.
fn copy_for_serde(item: &DeriveInput, limen: &Path) -> Result<DeriveInput> {
    let mut copy = item.clone();
    OnlySerde.visit_derive_input_mut(&mut copy);
    copy.ident = format_ident!("__{}ForSerde", item.ident);
    let serde = text(&quote!(#limen::serde).to_string().replace(' ', ""));
    let remote = text(&item.ident.to_string());
    let mut said = said_to_serde(&copy.attrs)?;
    for meta in &mut said {
        // serde would look for the `Default` of the copy.
        if meta.path().is_ident("default") && matches!(meta, Meta::Path(_)) {
            let (name, types) = (&item.ident, item.generics.split_for_impl().1);
            let path = text(&quote!(<#name #types as ::core::default::Default>::default).to_string());
            *meta = parse_quote!(default = #path);
        }
    }
    // serde's messages name the type: "struct Config", not the copy.
    if !said.iter().any(|meta| meta.path().is_ident("rename")) {
        said.push(parse_quote!(rename = #remote));
    }
    copy.attrs = vec![
        parse_quote!(#[allow(dead_code, unreachable_pub)]),
        parse_quote!(#[derive(#limen::serde::Deserialize)]),
        parse_quote!(#[serde(crate = #serde, remote = #remote, #(#said),*)]),
    ];
    Ok(copy)
}

/// What stands in all `#[serde(...)]` of the item itself.
fn said_to_serde(attributes: &[Attribute]) -> Result<Vec<Meta>> {
    let mut said = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        said.extend(attribute.parse_args_with(Punctuated::<Meta, syn::Token![,]>::parse_terminated)?);
    }
    Ok(said)
}

fn text(text: &str) -> LitStr {
    LitStr::new(text, proc_macro2::Span::call_site())
}

struct OnlySerde;

impl VisitMut for OnlySerde {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        attributes.retain(|attribute| attribute.path().is_ident("serde") || attribute.path().is_ident("cfg"));
    }
}
