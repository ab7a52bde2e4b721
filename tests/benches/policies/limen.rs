//! Our side: one gateway, with a route for each case.

use crate::cases::Case;
use crate::nginx::Origin;
use crate::process::{MEASURED, Site};
use limen_tests::Gateway;

pub struct Limen(Gateway);

impl Limen {
    pub async fn start(origin: &Origin, cases: &[&Case]) -> Limen {
        let mut text = format!(
            "[gateway]\nworkers = 1\n[admin]\naddress = '127.0.0.1:0'\n[[listener]]\naddress = '127.0.0.1:0'\n
             [upstream.origin]\nendpoints = ['http://127.0.0.1:{}']\n{}",
            origin.port(),
            route("plain", "")
        );
        for case in cases.iter().filter(|case| !case.elsewhere) {
            text.push_str(case.tables);
            text.push('\n');
            text.push_str(&route(&case.segment(), case.policies));
        }
        let mut setup = Gateway::with(text).under(MEASURED);
        for (name, content) in cases.iter().filter_map(|case| case.file) {
            setup = setup.file(name, content);
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

    pub fn site(&self) -> Site {
        Site { url: self.0.url(""), pid: self.0.pid() }
    }
}

fn route(segment: &str, policies: &str) -> String {
    format!(
        "[[route]]\nname = '{segment}'\npath = '/{segment}/**'\nupstream = 'origin'\npolicies = [{policies}]\n"
    )
}
