//! nginx: the origin of all, the cache beside which ours is measured, and who speaks TLS for wrk.

use crate::cases::items;
use crate::process::{BESIDE, MEASURED, Process, Site, free_port};
use crate::tls::{ADA, Tls};
use limen_tests::{Client, eventually};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use tempfile::TempDir;

const HEAD: &str = "daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr warn;\nevents {}\n";
const HTTP: &str =
    "access_log off;\nsendfile on;\ntcp_nopush on;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;
    open_file_cache max=100;\n";

/// Answers at once, with what stands in a file where a path ends on `text` or `large`; where one ends on `held`, the
/// answer takes minutes to end.
pub struct Origin {
    _process: Process,
    port: u16,
}

impl Origin {
    pub async fn start() -> Origin {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("text"), items(4096)).unwrap();
        std::fs::write(folder.path().join("large"), items(100 * 1024)).unwrap();
        let port = free_port();
        let root = folder.path().display().to_string();
        let http = format!(
            r#"
            default_type application/json;
            add_header   cache-control max-age=3600;
            add_header   x-uri     $request_uri;
            add_header   x-seen    "$http_x_one$http_x_two$http_x_user";
            add_header   x-encoded "$http_content_encoding";
            server {{
                listen 127.0.0.1:{port};
                location /            {{ return 200 '{{"id":7,"secret":"sesame"}}'; }}
                location = /introspect {{ return 200 '{{"active":true,"sub":"ada"}}'; }}
                location = /requests  {{ stub_status; }}
                location ~ /(text|large)$ {{ root {root}; try_files /$1 =404; }}
                location ~ /held$ {{ root {root}; try_files /large =404; limit_rate 1k; }}
            }}"#
        );
        Origin { _process: start(BESIDE, folder, &http, port).await, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many requests it has seen.
    pub fn requests(&self) -> u64 {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.write_all(b"GET /requests HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let line = answer.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1);
        line.and_then(|it| it.split_whitespace().nth(2)?.parse().ok()).expect("a count of requests")
    }
}

/// Keeps the origin's answers, in files that are in memory where that can be.
pub struct Cache {
    process: Process,
    port: u16,
}

impl Cache {
    pub async fn start(origin: &Origin) -> Cache {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let (port, behind) = (free_port(), origin.port());
        let http = format!(
            r#"
            upstream origin {{ server 127.0.0.1:{behind}; keepalive 64; }}
            proxy_cache_path cache levels=1:2 keys_zone=answers:10m;
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://origin;
                    proxy_http_version 1.1;
                    proxy_set_header connection "";
                    proxy_cache answers;
                    add_header x-cache $upstream_cache_status;
                }}
            }}"#
        );
        Cache { process: start(MEASURED, folder, &http, port).await, port }
    }

    pub fn site(&self) -> Site {
        Site { url: format!("http://127.0.0.1:{}", self.port), pid: self.process.pid() }
    }
}

/// Shows the certificate that wrk has no means to show: it takes requests in clear, and asks a site that speaks TLS.
pub struct Front {
    _process: Process,
    ports: BTreeMap<String, u16>,
}

impl Front {
    /// In front of all that speak TLS of these sites.
    pub async fn start(sites: impl Iterator<Item = Site>, tls: &Tls) -> Option<Front> {
        let urls: BTreeSet<_> = sites.map(|site| site.url).filter(|url| url.starts_with("https:")).collect();
        let ports: BTreeMap<_, _> = urls.into_iter().map(|url| (url, free_port())).collect();
        let (_, first) = ports.first_key_value()?;
        let [cert, key] = tls.client_files(ADA);
        let servers = ports.iter().map(|(url, port)| {
            let behind = url.trim_start_matches("https://");
            format!(
                r#"
                upstream behind{port} {{ server {behind}; keepalive 64; keepalive_requests 1000000000; }}
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        proxy_pass https://behind{port};
                        proxy_http_version 1.1;
                        proxy_set_header connection "";
                        proxy_ssl_certificate {cert};
                        proxy_ssl_certificate_key {key};
                    }}
                }}"#
            )
        });
        let process = start(BESIDE, TempDir::new().unwrap(), &servers.collect::<String>(), *first).await;
        Some(Front { _process: process, ports })
    }

    /// Where wrk asks for what is at this URL of a site.
    pub fn of(&self, url: &str) -> Option<String> {
        self.ports.get(url).map(|port| format!("http://127.0.0.1:{port}"))
    }
}

async fn start(pinned: &[&str], folder: TempDir, http: &str, port: u16) -> Process {
    std::fs::write(folder.path().join("nginx.conf"), format!("{HEAD}http {{\n{HTTP}{http}\n}}\n")).unwrap();
    // Its workers are another user, if it is started by root.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let prefix = folder.path().display().to_string();
    let mut process =
        Process::start(pinned, "nginx", &["-p", &prefix, "-c", "nginx.conf", "-e", "stderr"], folder);
    eventually("nginx to listen", async || {
        process.assert_runs();
        Client::http1().connect(format!("http://127.0.0.1:{port}/")).await.ok().map(drop)
    })
    .await;
    process
}
