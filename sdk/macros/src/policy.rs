//! `#[limen::policy]`: the impl block as it was, the trait `Policy` on top of it, and the exports.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ExprArray, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Path, Result, Type};

use crate::hooks::{self, HOOKS, Hook};

/// What was written, plus what it means; or what was written, plus what is wrong with it, so that
/// the rest of the crate is still checked against the type's methods.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let block = match syn::parse2::<ItemImpl>(item.clone()) {
        Ok(block) => block,
        Err(_) => {
            let error = Error::new(
                Span::call_site(),
                "`#[limen::policy]` belongs on an impl block: `impl MyPolicy { ... }`",
            );
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let meaning = Arguments::read(arguments)
        .and_then(|arguments| Ok((Policy::read(&block)?, arguments)))
        .map(|(policy, arguments)| policy.write(&arguments))
        .unwrap_or_else(Error::into_compile_error);
    quote!(#block #meaning)
}

/// What stands in the attribute's parentheses.
struct Arguments {
    /// The path to the SDK: `::limen`, or what `crate = ...` says.
    limen: Path,
    /// `metrics = [...]`
    metrics: Option<ExprArray>,
}

impl Arguments {
    fn read(arguments: TokenStream) -> Result<Self> {
        let mut read = Arguments { limen: syn::parse_quote!(::limen), metrics: None };
        let parser = syn::meta::parser(|meta| {
            if meta.path.is_ident("crate") {
                read.limen = meta.value()?.parse()?;
            } else if meta.path.is_ident("metrics") {
                read.metrics = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error(
                    "unknown argument; `#[limen::policy]` takes `metrics = [...]` and `crate = path`",
                ));
            }
            Ok(())
        });
        syn::parse::Parser::parse2(parser, arguments)?;
        Ok(read)
    }
}

/// What the impl block says.
struct Policy<'a> {
    name: &'a Type,
    configure: Configure<'a>,
    hooks: Vec<(&'static Hook, &'a ImplItemFn)>,
}

struct Configure<'a> {
    method: &'a Ident,
    /// None: there are no settings.
    config: Option<&'a Type>,
}

impl<'a> Policy<'a> {
    fn read(block: &'a ItemImpl) -> Result<Self> {
        if let Some((_, of, _)) = &block.trait_ {
            return Err(Error::new(
                of.span(),
                "a policy is made of the type's own impl block, not of a trait's",
            ));
        }
        if !block.generics.params.is_empty() {
            return Err(Error::new(
                block.generics.span(),
                "a policy is one type, it has no generic parameters",
            ));
        }
        let mut configure = Err(Error::new(
            block.self_ty.span(),
            "this policy has no `configure`\nhint: add `fn configure(config: Config) -> Result<Self>`, \
             or `fn configure() -> Result<Self>` if it has no settings",
        ));
        let mut hooks = Vec::new();
        let mut problems: Option<Error> = None;
        let mut problem = |error: Error| match &mut problems {
            Some(all) => all.combine(error),
            none => *none = Some(error),
        };
        for item in &block.items {
            let ImplItem::Fn(method) = item else { continue };
            let name = method.sig.ident.to_string();
            if name == "configure" {
                configure = Configure::read(method);
            } else if let Some(hook) = HOOKS.iter().find(|hook| hook.name == name) {
                match hook.check(method) {
                    Ok(()) => hooks.push((hook, method)),
                    Err(error) => problem(error),
                }
            } else if name.starts_with("on_") {
                problem(Error::new(method.sig.ident.span(), hooks::unknown(&name)));
            }
        }
        let configure = configure.map_err(&mut problem).ok();
        match (problems, configure) {
            (None, Some(configure)) => Ok(Policy { name: &block.self_ty, configure, hooks }),
            (Some(problems), _) => Err(problems),
            (None, None) => Err(Error::new(block.self_ty.span(), "this policy has no `configure`")),
        }
    }

    fn write(&self, arguments: &Arguments) -> TokenStream {
        let Arguments { limen, metrics } = arguments;
        let metrics = metrics
            .as_ref()
            .map(|metrics| quote!(const METRICS: &'static [#limen::__private::Metric] = &#metrics;));
        let name = self.name;
        let configure = self.configure.write(name, limen);
        let methods = self.hooks.iter().map(|(hook, method)| hook.method(method, limen));
        let phases = self.hooks.iter().map(|(hook, _)| hook.phase());
        let exports = self.hooks.iter().map(|(hook, _)| hook.export(limen));
        quote! {
            #[automatically_derived]
            impl #limen::__private::Policy for #name {
                const PHASES: &'static [#limen::__private::Phase] = &[#(#limen::__private::Phase::#phases),*];
                const ABOUT: #limen::__private::About = #limen::__private::About {
                    name: ::core::env!("CARGO_PKG_NAME"),
                    version: ::core::env!("CARGO_PKG_VERSION"),
                    description: ::core::env!("CARGO_PKG_DESCRIPTION"),
                };
                #metrics
                #configure
                #(#methods)*
            }

            // Where nothing is exported: so that the compiler does not call the policy unused.
            #[cfg(not(target_family = "wasm"))]
            const _: fn(&str) -> ::core::result::Result<#name, ::std::string::String> =
                #limen::__private::configure::<#name>;

            #[cfg(target_family = "wasm")]
            const _: () = {
                ::std::thread_local! {
                    static POLICY: #limen::__private::Slot<#name> = const { #limen::__private::Slot::empty() };
                }

                struct Component;

                impl #limen::__private::base::exports::limen::policy::plugin::Guest for Component {
                    fn describe() -> ::std::string::String {
                        #limen::__private::describe::<#name>()
                    }

                    fn configure(
                        config: ::std::string::String,
                    ) -> ::core::result::Result<(), ::std::string::String> {
                        POLICY.with(|policy| policy.configure(&config))
                    }
                }
                #limen::__private::base::export_base!(Component with_types_in #limen::__private::base);
                #(#exports)*
            };
        }
    }
}

impl<'a> Configure<'a> {
    fn read(method: &'a ImplItemFn) -> Result<Self> {
        const SHAPE: &str = "hint: `fn configure(config: Config) -> Result<Self>`, \
                             or `fn configure() -> Result<Self>` if there are no settings";
        hooks::plain(&method.sig, SHAPE)?;
        let mut config = None;
        for (position, input) in method.sig.inputs.iter().enumerate() {
            match input {
                FnArg::Receiver(receiver) => {
                    let problem = format!("`configure` makes the policy, so it has no `self`\n{SHAPE}");
                    return Err(Error::new(receiver.span(), problem));
                }
                FnArg::Typed(_) if position > 0 => {
                    let problem = format!("`configure` takes the settings and nothing else\n{SHAPE}");
                    return Err(Error::new(input.span(), problem));
                }
                FnArg::Typed(argument) => config = Some(&*argument.ty),
            }
        }
        Ok(Configure { method: &method.sig.ident, config })
    }

    fn write(&self, name: &Type, limen: &Path) -> TokenStream {
        let method = self.method;
        let call = match self.config {
            Some(_) => quote_spanned!(method.span()=> <#name>::#method(config)),
            None => quote_spanned!(method.span()=> <#name>::#method()),
        };
        let config =
            self.config.map_or_else(|| quote!(#limen::__private::NoConfig), |config| quote!(#config));
        let unused = self.config.is_none().then(|| quote!(let _ = config;));
        quote! {
            type Config = #config;

            fn configure(config: Self::Config) -> #limen::__private::Result<Self> {
                #unused
                #call
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of the errors in what `#[limen::policy]` makes of this.
    fn errors(item: TokenStream) -> String {
        let expanded = expand(TokenStream::new(), item).to_string();
        let messages = expanded.split("compile_error ! {").skip(1);
        messages.filter_map(|rest| rest.split('}').next()).collect::<Vec<_>>().join("\n")
    }

    fn error_of(method: TokenStream) -> String {
        errors(quote!(impl P { fn configure() -> Result<Self> { Ok(P) } #method }))
    }

    #[test]
    fn a_policy_without_mistakes_has_no_errors() {
        let written = quote! {
            fn on_request(&mut self, request: &mut Request) -> Result<Flow> { todo!() }
            fn on_response(&mut self, request: &Request, response: &mut limen::Response) -> Result<Flow> { todo!() }
            fn on_log(&self, _: &Request, _: &Response) {}
            fn helper<T>(x: T) -> T { x }
        };
        assert_eq!(error_of(written), "");
    }

    #[test]
    fn configure_is_needed() {
        let written =
            quote!(impl P { fn on_request(&mut self, request: &mut Request) -> Result<Flow> { todo!() } });
        assert!(errors(written).contains("no `configure`\\nhint: add `fn configure(config: Config)"));
        let error = errors(quote!(impl P { fn configure(&self) -> Result<Self> { todo!() } }));
        assert!(error.contains("has no `self`"), "{error}");
        let error = errors(quote!(impl P { fn configure(a: A, b: B) -> Result<Self> { todo!() } }));
        assert!(error.contains("the settings and nothing else"), "{error}");
    }

    #[test]
    fn hooks_that_do_not_exist_are_named_with_those_that_do() {
        let error = error_of(quote!(
            fn on_requests(&mut self) {}
        ));
        assert!(
            error.contains("there is no hook `on_requests`\\nhint: the hooks are `on_request`,"),
            "{error}"
        );
    }

    #[test]
    fn wrong_shapes_show_the_right_one() {
        let shape = "hint: `fn on_request(&mut self, request: &mut Request) -> Result<Flow>`";
        for (written, problem) in [
            (
                quote!(
                    fn on_request(&mut self) -> Result<Flow> {
                        todo!()
                    }
                ),
                "`on_request` has other parameters",
            ),
            (
                quote!(
                    fn on_request(request: &mut Request) -> Result<Flow> {
                        todo!()
                    }
                ),
                "`on_request` is a method",
            ),
            (
                quote!(
                    fn on_request(&mut self, request: &mut Request) {}
                ),
                "has to say how to go on",
            ),
            (
                quote!(
                    fn on_request(&mut self, request: Request) -> Result<Flow> {
                        todo!()
                    }
                ),
                "gets `&mut Request` here",
            ),
            (
                quote!(
                    async fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
                        todo!()
                    }
                ),
                "ordinary function",
            ),
            (
                quote!(
                    fn on_request<T>(&mut self, request: &mut Request) -> Result<Flow> {
                        todo!()
                    }
                ),
                "no generic parameters",
            ),
        ] {
            let error = error_of(written);
            assert!(error.contains(problem) && error.contains(shape), "{error}");
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let error = errors(quote!(impl P { fn on_a(&self) {} fn on_b(&self) {} }));
        assert_eq!(error.matches("there is no hook").count(), 2, "{error}");
        assert!(error.contains("no `configure`"), "{error}");
    }

    #[test]
    fn it_belongs_on_the_types_own_impl() {
        assert!(
            errors(quote!(
                struct P;
            ))
            .contains("belongs on an impl block")
        );
        assert!(errors(quote!(impl Default for P {})).contains("not of a trait's"));
        assert!(
            errors(quote!(
                impl<T> P<T> {}
            ))
            .contains("no generic parameters")
        );
    }
}
