//! Our side: one gateway, with a route for each case.

use crate::cases::Case;
use crate::nginx::Origin;
use crate::process::{MEASURED, Site};
use crate::tls::Tls;
use limen_tests::Gateway;

pub struct Limen(Gateway);

impl Limen {
    pub async fn start(origin: &Origin, cases: &[&Case], tls: &Tls) -> Limen {
        let (ca, [cert, key]) = (tls.ca(), tls.server());
        let mut text = format!(
            "[gateway]\nworkers = 1\n[admin]\naddress = '127.0.0.1:0'\n
             [[listener]]\nname = 'plain'\naddress = '127.0.0.1:0'\n
             [[listener]]\nname = 'tls'\naddress = '127.0.0.1:0'\n
             tls = {{ certificates = [{{ cert = '{cert}', key = '{key}' }}], client_auth = {{ ca = '{ca}' }} }}\n
             [upstream.origin]\nendpoints = ['http://127.0.0.1:{}']\n{}",
            origin.port(),
            route("plain", "")
        );
        for case in cases.iter().filter(|case| !case.elsewhere) {
            text.push_str(case.tables);
            text.push('\n');
            text.push_str(&route(&case.segment(), &case.roomy(case.policies)));
            if case.room.is_some() {
                text.push_str(&route(&case.tight_segment(), &case.tight(case.policies)));
            }
        }
        let mut setup = Gateway::with(text).under(MEASURED);
        for (name, content) in cases.iter().filter_map(|case| case.file) {
            setup = setup.file(name, content.bytes());
        }
        Limen(setup.start().await)
    }

    /// An API key, which is in force.
    pub async fn key(&self) -> String {
        let admin = self.0.admin_url("");
        let address = admin.trim_start_matches("http://");
        let made =
            self.0.successor().finish(&["key", "create", "--consumer", "ada", "--admin", address]).await;
        assert!(made.status.success(), "{made:?}");
        made.stdout.trim().to_owned()
    }

    /// Where requests of this case are taken.
    pub fn site(&self, case: &Case) -> Site {
        let listener = if case.tls { "tls" } else { "plain" };
        Site { url: self.0.url_of(listener, ""), pid: self.0.pid() }
    }
}

fn route(segment: &str, policies: &str) -> String {
    format!(
        "[[route]]\nname = '{segment}'\npath = '/{segment}/**'\nupstream = 'origin'\npolicies = [{policies}]\n"
    )
}
