//! The hooks that a policy can have: their names, their parameters, and what each becomes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ImplItemFn, Path, Result, ReturnType, Signature, Type};

/// In the order of an exchange. A new hook is one more line here, its trait method in `Policy` and
/// its function in `__private`.
pub(crate) static HOOKS: [Hook; 11] = [
    Hook {
        name: "on_request",
        phase: "Request",
        interface: "hook_request",
        parameters: &[Parameter { name: "request", of: "Request", edits: true, optional: false }],
        answer: Answer::Flow,
    },
    Hook {
        name: "on_request_body",
        phase: "RequestBody",
        interface: "hook_request_body",
        parameters: &[
            Parameter { name: "request", of: "Request", edits: true, optional: false },
            Parameter { name: "body", of: "RequestBody", edits: true, optional: false },
        ],
        answer: Answer::Flow,
    },
    Hook {
        name: "on_request_chunk",
        phase: "RequestChunk",
        interface: "hook_request_chunk",
        parameters: &[
            Parameter { name: "request", of: "Request", edits: false, optional: true },
            Parameter { name: "chunk", of: "Chunk", edits: false, optional: false },
        ],
        answer: Answer::ChunkFlow,
    },
    Hook {
        name: "on_request_trailers",
        phase: "RequestTrailers",
        interface: "hook_request_trailers",
        parameters: &[
            Parameter { name: "request", of: "Request", edits: false, optional: true },
            Parameter { name: "trailers", of: "Trailers", edits: true, optional: false },
        ],
        answer: Answer::Flow,
    },
    Hook {
        name: "on_upstream",
        phase: "Upstream",
        interface: "hook_upstream",
        parameters: &[
            Parameter { name: "request", of: "Request", edits: true, optional: false },
            Parameter { name: "attempt", of: "Attempt", edits: false, optional: true },
        ],
        answer: Answer::Flow,
    },
    Hook {
        name: "on_response",
        phase: "Response",
        interface: "hook_response",
        parameters: &[
            Parameter { name: "request", of: "Request", edits: false, optional: true },
            Parameter { name: "response", of: "Response", edits: true, optional: false },
        ],
        answer: Answer::Flow,
    },
    Hook {
        name: "on_response_body",
        phase: "ResponseBody",
        interface: "hook_response_body",
        parameters: &[
            Parameter { name: "request", of: "Request", edits: false, optional: true },
            Parameter { name: "response", of: "Response", edits: true, optional: false },
            Parameter { name: "body", of: "ResponseBody", edits: true, optional: false },
        ],
        answer: Answer::Flow,
    },
    Hook {
        name: "on_response_chunk",
        phase: "ResponseChunk",
        interface: "hook_response_chunk",
        parameters: &[
            Parameter { name: "response", of: "Response", edits: false, optional: true },
            Parameter { name: "chunk", of: "Chunk", edits: false, optional: false },
        ],
        answer: Answer::ChunkFlow,
    },
    Hook {
        name: "on_response_trailers",
        phase: "ResponseTrailers",
        interface: "hook_response_trailers",
        parameters: &[
            Parameter { name: "response", of: "Response", edits: false, optional: true },
            Parameter { name: "trailers", of: "Trailers", edits: true, optional: false },
        ],
        answer: Answer::Flow,
    },
    Hook {
        name: "on_log",
        phase: "Log",
        interface: "hook_log",
        parameters: &[
            Parameter { name: "request", of: "Request", edits: false, optional: false },
            Parameter { name: "response", of: "Response", edits: false, optional: false },
        ],
        answer: Answer::Nothing,
    },
    Hook { name: "on_tick", phase: "Tick", interface: "hook_tick", parameters: &[], answer: Answer::Outcome },
];

pub(crate) struct Hook {
    pub(crate) name: &'static str,
    /// Its case of `limen::Phase`.
    phase: &'static str,
    /// Its interface in `wit/hooks.wit`.
    interface: &'static str,
    parameters: &'static [Parameter],
    answer: Answer,
}

/// What a hook ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Nothing,
    Flow,
    /// It is given a chunk, and says what becomes of it.
    ChunkFlow,
    /// That it went well, or why not.
    Outcome,
}

struct Parameter {
    name: &'static str,
    of: &'static str,
    edits: bool,
    /// Whether the author may leave it out.
    optional: bool,
}

/// What to say about a method `on_...` that is no hook.
pub(crate) fn unknown(name: &str) -> String {
    let names: Vec<_> = HOOKS.iter().map(|hook| format!("`{}`", hook.name)).collect();
    format!(
        "there is no hook `{name}`\nhint: the hooks are {}; a helper needs a name that does not start with `on_`",
        names.join(", ")
    )
}

/// What `configure` and the hooks have in common: no `async`, no generics, a result.
pub(crate) fn plain(signature: &Signature, shape: &str) -> Result<()> {
    let name = &signature.ident;
    if let Some(keyword) = &signature.asyncness {
        let problem =
            format!("`{name}` is an ordinary function; what has to wait does so by itself\n{shape}");
        return Err(Error::new(keyword.span(), problem));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            format!("`{name}` has no generic parameters\n{shape}"),
        ));
    }
    Ok(())
}

impl Hook {
    /// Whether the method can be this hook. The compiler checks the rest of the types, where the
    /// trait's method calls the author's.
    pub(crate) fn check(&self, method: &ImplItemFn) -> Result<()> {
        let signature = &method.sig;
        let shape = self.shape();
        plain(signature, &shape)?;
        if signature.receiver().is_none() {
            return Err(Error::new(signature.ident.span(), format!("`{}` is a method\n{shape}", self.name)));
        }
        let given: Vec<_> = signature.inputs.iter().filter_map(typed).collect();
        let Some(wanted) = self.parameters_for(given.len()) else {
            let problem = format!("`{}` has other parameters\n{shape}", self.name);
            return Err(Error::new(signature.inputs.span(), problem));
        };
        for (parameter, given) in wanted.iter().zip(&given) {
            if !parameter.fits(given) {
                let problem = format!("`{}` gets `{}` here\n{shape}", self.name, parameter.written());
                return Err(Error::new(given.span(), problem));
            }
        }
        let decides = matches!(self.answer, Answer::Flow | Answer::ChunkFlow);
        if decides && matches!(signature.output, ReturnType::Default) {
            return Err(Error::new(
                signature.ident.span(),
                format!("`{}` has to say how to go on\n{shape}", self.name),
            ));
        }
        Ok(())
    }

    /// The method of the trait, which calls the author's. Spanned as the author's signature, so that
    /// a wrong type is shown there.
    pub(crate) fn method(&self, method: &ImplItemFn, limen: &Path) -> TokenStream {
        let name = &method.sig.ident;
        let given: Vec<_> = method.sig.inputs.iter().filter_map(typed).collect();
        let passed = self.parameters_for(given.len()).unwrap_or_default();
        let arguments = passed.iter().zip(&given).map(|(parameter, given)| {
            let name = Ident::new(parameter.name, given.span());
            quote_spanned!(given.span()=> #name)
        });
        let declared = self.parameters.iter().map(|parameter| {
            // Spanned as its use, or hygiene would make two names of it.
            let position = passed.iter().position(|passed| passed.name == parameter.name);
            let given = position.and_then(|position| given.get(position));
            let name = match given {
                Some(given) => Ident::new(parameter.name, given.span()),
                None => format_ident!("_{}", parameter.name),
            };
            let of = format_ident!("{}", parameter.of);
            let edits = parameter.edits.then(|| quote!(mut));
            quote!(#name: &#edits #limen::__private::#of)
        });
        let hook = format_ident!("{}", self.name);
        let answer = match &method.sig.output {
            ReturnType::Default => name.span(),
            ReturnType::Type(_, answer) => answer.span(),
        };
        let called = Ident::new(self.name, answer);
        let call = quote_spanned!(answer=> <Self>::#called(self, #(#arguments),*));
        let (returns, body) = match self.answer {
            Answer::Flow => (quote!(#limen::__private::Flow), call),
            Answer::ChunkFlow => (quote!(#limen::__private::ChunkFlow), call),
            Answer::Nothing | Answer::Outcome => {
                (quote!(()), quote!(#limen::__private::LogResult::into_result(#call)))
            }
        };
        quote! {
            fn #hook(&mut self, #(#declared),*) -> #limen::__private::Result<#returns> {
                #body
            }
        }
    }

    pub(crate) fn phase(&self) -> Ident {
        format_ident!("{}", self.phase)
    }

    /// Its export, inside the block that has `POLICY` and `Component`.
    pub(crate) fn export(&self, limen: &Path) -> TokenStream {
        let hook = format_ident!("{}", self.name);
        let export = format_ident!("export_{}", self.name);
        let interface = format_ident!("{}", self.interface);
        let glue = quote!(#limen::__private::#hook);
        let method = match self.answer {
            Answer::Nothing => quote! {
                fn #hook() {
                    POLICY.with(|policy| policy.with(#glue))
                }
            },
            Answer::Outcome => quote! {
                fn #hook() -> ::core::result::Result<(), ::std::string::String> {
                    POLICY.with(|policy| policy.with(#glue))
                }
            },
            Answer::Flow => quote! {
                fn #hook() -> #limen::__private::Verdict {
                    POLICY.with(|policy| policy.with(#glue)).into()
                }
            },
            Answer::ChunkFlow => quote! {
                fn #hook(chunk: ::std::vec::Vec<u8>, last: bool) -> #limen::__private::ChunkVerdict {
                    POLICY.with(|policy| policy.with(|policy| #glue(policy, chunk, last))).into()
                }
            },
        };
        quote! {
            impl #limen::__private::#hook::exports::limen::policy::#interface::Guest for Component {
                #method
            }
            #limen::__private::#hook::#export!(Component with_types_in #limen::__private::#hook);
        }
    }

    /// The parameters when the author wrote so many of them: all, or all but the optional ones.
    fn parameters_for(&self, given: usize) -> Option<Vec<&'static Parameter>> {
        let all: Vec<_> = self.parameters.iter().collect();
        let needed: Vec<_> = self.parameters.iter().filter(|parameter| !parameter.optional).collect();
        [needed, all].into_iter().find(|parameters| parameters.len() == given)
    }

    /// Its signature, as a hint.
    fn shape(&self) -> String {
        let needed = self.parameters.iter().filter(|parameter| !parameter.optional);
        let parameters: String =
            needed.map(|parameter| format!(", {}: {}", parameter.name, parameter.written())).collect();
        let answer = match self.answer {
            Answer::Nothing => "",
            Answer::Flow => " -> Result<Flow>",
            Answer::ChunkFlow => " -> Result<ChunkFlow>",
            Answer::Outcome => " -> Result<()>",
        };
        format!("hint: `fn {}(&mut self{parameters}){answer}`", self.name)
    }
}

impl Parameter {
    fn written(&self) -> String {
        format!("&{}{}", if self.edits { "mut " } else { "" }, self.of)
    }

    /// A reference to a type of this name. `&` is as good as `&mut` to an author who only reads.
    fn fits(&self, given: &Type) -> bool {
        let Type::Reference(reference) = given else { return false };
        let Type::Path(path) = &*reference.elem else { return false };
        let named = path.path.segments.last().is_some_and(|last| last.ident == self.of);
        named && (self.edits || reference.mutability.is_none())
    }
}

fn typed(input: &FnArg) -> Option<&Type> {
    match input {
        FnArg::Typed(argument) => Some(&argument.ty),
        FnArg::Receiver(_) => None,
    }
}
