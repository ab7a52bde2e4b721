//! What is measured: each policy of ours, the request that meets it, what shows that it was at work, and who else can
//! do the same.

mod answers;
mod bodies;
mod heads;
mod traffic;
mod who;

/// A policy of ours, beside its peers.
pub struct Case {
    pub name: &'static str,
    /// The items of its route's `policies`.
    pub policies: &'static str,
    /// What else they need of the configuration.
    pub tables: &'static str,
    /// How many of what they count may pass, in place of `@ROOM@` in settings, ours and those of peers. With room
    /// for one, one of several requests has to be refused.
    pub room: Option<u64>,
    /// A file that they need, and what is in it.
    pub file: Option<(&'static str, Content)>,
    /// Whether its requests come over TLS, from clients with certificates.
    pub tls: bool,
    /// The request that is measured.
    pub ask: Ask,
    /// What its answer is like, whoever gives it.
    pub gets: Gets,
    /// What stands in ours besides.
    pub shows: &'static str,
    /// A request that is refused, or for which nothing is done, and what that one gets.
    pub other: Option<(Ask, Gets)>,
    pub answered: Answered,
    pub peers: &'static [Peer],
    /// Whether a route without policies is what is asked, where others have all that is measured here.
    pub elsewhere: bool,
}

/// What is in a file.
#[derive(Clone, Copy)]
pub enum Content {
    Text(&'static str),
    /// A database of these networks and their countries.
    Countries(&'static [(&'static str, &'static str)]),
}

/// Who gives the answers.
#[derive(Clone, Copy, PartialEq)]
pub enum Answered {
    ByOrigin,
    ByGateway,
}

#[derive(Clone, Copy, PartialEq)]
pub enum By {
    Envoy,
    Nginx,
}

/// Another gateway's way to do the same.
pub struct Peer {
    pub by: By,
    /// What it is called there.
    pub name: &'static str,
    /// The type of Envoy's filter, below `envoy.extensions.filters.http`; empty if its route does it.
    pub filter: &'static str,
    /// The filter's settings, in YAML's flow style.
    pub settings: &'static str,
    /// The type of a filter behind it that does the rest of it, and its settings.
    pub then: Option<(&'static str, &'static str)>,
    /// What Envoy's route matches and does.
    pub route: &'static str,
    /// What stands in its answer besides.
    pub shows: &'static str,
}

/// A request. Words like `@KEY@` are filled in.
#[derive(Clone, Copy)]
pub struct Ask {
    pub method: &'static str,
    /// Below the route of its case.
    pub path: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: Body,
    /// Its client's address.
    pub from: &'static str,
    /// Whose certificate is shown, where it comes over TLS.
    pub shows: &'static str,
}

#[derive(Clone, Copy)]
pub enum Body {
    None,
    Text(&'static str),
    /// JSON of this length or a little more.
    Items(usize),
    Base64(&'static str),
}

/// What an answer has to be like: its head in small letters, `name: value`, and its body.
#[derive(Clone, Copy)]
pub struct Gets {
    pub status: u16,
    pub has: &'static [&'static str],
    pub lacks: &'static [&'static str],
}

pub const GET: Ask = Ask {
    method: "GET",
    path: "small",
    headers: &[],
    body: Body::None,
    from: "127.0.0.1",
    shows: crate::tls::ADA,
};
pub const POST: Ask = Ask { method: "POST", headers: &[("content-type", "application/json")], ..GET };
pub const OK: Gets = gets(200);

/// Envoy's route to the origin.
pub const ORIGIN: &str = "match: { prefix: / }, route: { cluster: origin }";

/// An answer with this status.
const fn gets(status: u16) -> Gets {
    Gets { status, has: &[], lacks: &[] }
}

/// Envoy's filter with these settings.
const fn envoy(name: &'static str, filter: &'static str, settings: &'static str) -> Peer {
    Peer { by: By::Envoy, name, filter, settings, then: None, route: ORIGIN, shows: "" }
}

/// What Envoy's routes do without a filter.
const fn envoy_route(name: &'static str, route: &'static str) -> Peer {
    Peer { route, ..envoy(name, "", "") }
}

impl Case {
    const fn new(name: &'static str, policies: &'static str) -> Case {
        Case {
            name,
            policies,
            tables: "",
            room: None,
            file: None,
            tls: false,
            ask: GET,
            gets: OK,
            shows: "",
            other: None,
            answered: Answered::ByOrigin,
            peers: &[],
            elsewhere: false,
        }
    }

    /// The first segment of its requests' paths.
    pub fn segment(&self) -> String {
        self.name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
    }

    /// The same where there is room for one.
    pub fn tight_segment(&self) -> String {
        format!("{}-tight", self.segment())
    }

    /// Settings with as much room as is measured with.
    pub fn roomy(&self, settings: &str) -> String {
        settings.replace("@ROOM@", &self.room.unwrap_or_default().to_string())
    }

    /// Settings with room for one.
    pub fn tight(&self, settings: &str) -> String {
        settings.replace("@ROOM@", "1")
    }
}

const ELSEWHERE: Case = Case { elsewhere: true, ..Case::new("all of these, on other routes", "") };

/// All there are, in the table's order.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let policies = [who::CASES, traffic::CASES, heads::CASES, bodies::CASES, answers::CASES];
    policies.into_iter().flatten().chain(&[ELSEWHERE])
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            By::Envoy => "envoy",
            By::Nginx => "nginx",
        }
    }
}

impl Content {
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Content::Text(text) => text.into(),
            Content::Countries(networks) => limen_tests::countries(networks),
        }
    }
}

impl Body {
    pub fn bytes(self) -> Vec<u8> {
        use base64::Engine;
        match self {
            Body::None => vec![],
            Body::Text(text) => text.into(),
            Body::Items(length) => items(length),
            Body::Base64(text) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
        }
    }
}

/// A list as an API might give it, at least this long.
pub fn items(length: usize) -> Vec<u8> {
    let mut text = String::from("[");
    for number in 1_u64.. {
        let (price, stock) = (number.wrapping_mul(2_654_435_761) % 10_000, number.wrapping_mul(40_503) % 97);
        text.push_str(&format!(
            "{{\"id\":{number},\"name\":\"item {number}\",\"price\":{price},\"stock\":{stock}}}"
        ));
        if text.len() >= length {
            break;
        }
        text.push(',');
    }
    text.push(']');
    text.into_bytes()
}
