//! `[[case]]`

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answer, Ask, At, Expect, Fetched, TextMatch, UnderTest, answer, at};
use crate::scope::Unique;
use crate::section::{Section, section};
use crate::value::{boolean, duration, integer, string};
use crate::{Place, RoutePath, Settings};

/// What a case has of its file.
pub(crate) struct OfFile<'a> {
    pub under_test: &'a UnderTest<'a>,
    pub fetched: Fetched,
    pub stores: &'a Unique,
    pub names: &'a Unique,
}

section! {
    /// `[[case]]`: one thing that the policy has to do. Each begins with a gateway in which nobody has counted, cached or
    /// stored anything. It has one step, whose keys stand in the case itself, or several in `[[case.step]]`.
    pub struct Case(section, of_file: &OfFile<'_>) {
        /// `name` (required): what it is about, unique in its file.
        pub name: String = section.required("name", of_file.names.name()),

        /// `with`: the settings. Default: those of the file.
        pub with: Option<Settings> = section.optional("with", Settings::read),

        /// `path`: that of the route, for policies that want its parameters: "/users/{id}". Default "/**".
        pub path: RoutePath = section.or("path", RoutePath::read, RoutePath::everything()),

        /// `refused`: the settings are refused: a text that the reason contains, or a table (see Texts). Then nobody
        /// is asked for anything. Default: they are taken.
        pub refused: Option<At<TextMatch>> = section.optional("refused", at(TextMatch::within)),

        /// `kv`: what stores hold when it begins, like `{ flags = { beta = "on" } }`. Default: nothing.
        pub kv: BTreeMap<String, Vec<(String, String)>> = kv(section, of_file.stores),

        /// `fetch`: what upstreams answer in all its steps when the policy calls them. As in a step.
        pub fetched: Fetched = answer::fetched(section, &of_file.fetched),

        /// `step`: its steps, one after the other. Default: one, of the case's own keys.
        pub steps: Vec<Step> = steps(section, fetched.as_ref(), of_file.under_test),

        /// `http`: the version that client, gateway and upstream speak, 1 or 2. Default 1, and 2 where there are
        /// trailers.
        pub http2: bool = http2(section, steps.as_deref()),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

section! {
    /// `[[case.step]]`: a request and what comes of it. What policies have counted, cached and stored is there in the
    /// steps after it.
    pub struct Step(section, fetched: &Fetched, under_test: &UnderTest<'_>) {
        /// `tick`: true calls the policy's `on_tick`, and there is no request. It is not called otherwise.
        /// Default false.
        pub tick: bool = section.or("tick", boolean, false),

        /// `wait`: how long to wait first, on the clock: 0s to 10s. Default 0s.
        pub wait: Duration = section.or("wait", duration(Duration::ZERO..=Duration::from_secs(10)), Duration::ZERO),

        /// `repeat`: how often the step is done, each time with the same expectations: 1 to 10000. Default 1.
        pub repeat: usize = section.or("repeat", integer(1..=10_000), 1),

        /// `request`: what the client asks for.
        pub request: Ask = section.table("request", Ask::read),

        /// `answer`: what the route's upstream answers.
        pub answer: Answer = section.table("answer", |section| Answer::read(section, false)),

        /// `fetch`: what upstreams answer when the policy calls them, by their name: `{ authz = { status = 403 } }`, or an
        /// array of answers, of which the first is taken that is for the call. Default: those of the case, then
        /// those of the file. A call that nothing is for fails the case.
        pub fetched: Fetched = answer::fetched(section, fetched),

        /// `expect`: what has to come of it.
        pub expect: Expect = section.table("expect", |section| Expect::read(section, under_test)),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

impl Step {
    fn has_trailers(&self) -> bool {
        let sent = !self.request.trailers.is_empty() || !self.answer.trailers.is_empty();
        sent || !self.expect.message.trailers.is_empty()
    }
}

fn steps(section: &Section<'_>, fetched: Option<&Fetched>, under_test: &UnderTest<'_>) -> Option<Vec<Step>> {
    let fetched = fetched.cloned().unwrap_or_default();
    let Some(value) = section.get("step") else {
        // The keys of a case are all known by now, but for this one.
        let _ = section.get("http");
        return Some(vec![Step::read(section, &fetched, under_test)?]);
    };
    let steps = value.items("an array of tables, `[[case.step]]`")?;
    let steps: Vec<_> = steps.map(|step| Step::read(&step.section()?, &fetched, under_test)).collect();
    steps.into_iter().collect()
}

fn http2(section: &Section<'_>, steps: Option<&[Step]>) -> Option<bool> {
    let asked = section.optional("http", integer(1..=2))?;
    let has_trailers = steps.iter().copied().flatten().any(Step::has_trailers);
    Some(asked.map_or(has_trailers, |version| version == 2))
}

fn kv(section: &Section<'_>, stores: &Unique) -> Option<BTreeMap<String, Vec<(String, String)>>> {
    let Some(value) = section.get("kv") else { return Some(BTreeMap::new()) };
    let table = value.section()?;
    let stores = table.entries().map(|(name, item)| {
        let known = stores.known(name.to_owned(), &item, true);
        let held = item.section().and_then(|held| {
            let held: Vec<_> =
                held.entries().map(|(key, value)| Some((key.to_owned(), string(&value)?))).collect();
            held.into_iter().collect::<Option<Vec<_>>>()
        });
        Some((known?, held?))
    });
    stores.collect::<Vec<_>>().into_iter().collect()
}
