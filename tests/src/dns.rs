//! A DNS server with answers that the test changes while it runs: UDP, and the few records that a gateway asks for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const NOT_THERE: u8 = 3; // NXDOMAIN
const FAILED: u8 = 2; // SERVFAIL

/// A running server; it ends when dropped.
pub struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A server of a service: see [`Dns::set_service`].
#[derive(Clone, Debug)]
pub struct Server {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub host: &'static str,
}

#[derive(Default)]
struct Zone {
    records: HashMap<String, Vec<Record>>,
    asked: HashMap<String, u64>,
    broken: bool,
}

struct Record {
    kind: u16,
    ttl: u32,
    data: Vec<u8>,
}

impl Dns {
    pub fn start() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (zone, stop) = (Arc::<Mutex<Zone>>::default(), Arc::<AtomicBool>::default());
        let address = socket.local_addr().unwrap();
        let (answers, ended) = (zone.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut message = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut message) {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(answer) = answers.lock().unwrap().answer(&message[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Dns { address, zone, stop, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the name has these addresses, for one second at a time.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        self.set_for(1, name, addresses);
    }

    /// The same, for so many seconds at a time.
    pub fn set_for(&self, ttl: u32, name: &str, addresses: &[&str]) {
        let record = |address: &&str| match address.parse().unwrap() {
            IpAddr::V4(ip) => Record { kind: A, ttl, data: ip.octets().to_vec() },
            IpAddr::V6(ip) => Record { kind: AAAA, ttl, data: ip.octets().to_vec() },
        };
        self.put(name, addresses.iter().map(record).collect());
    }

    /// From now on the service has these servers, for one second at a time.
    pub fn set_service(&self, name: &str, servers: &[Server]) {
        let record = |server: &Server| {
            let numbers = [server.priority, server.weight, server.port];
            let mut data: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
            for label in server.host.split('.') {
                data.push(label.len() as u8);
                data.extend(label.as_bytes());
            }
            data.push(0);
            Record { kind: SRV, ttl: 1, data }
        };
        self.put(name, servers.iter().map(record).collect());
    }

    /// From now on there is no such name.
    pub fn remove(&self, name: &str) {
        self.zone.lock().unwrap().records.remove(name);
    }

    /// From now on it fails at every question, or does no more.
    pub fn set_broken(&self, broken: bool) {
        self.zone.lock().unwrap().broken = broken;
    }

    /// How often it was asked for this name.
    pub fn asked(&self, name: &str) -> u64 {
        self.zone.lock().unwrap().asked.get(name).copied().unwrap_or_default()
    }

    fn put(&self, name: &str, records: Vec<Record>) {
        self.zone.lock().unwrap().records.insert(name.to_owned(), records);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[0], self.address)).is_ok() {
            self.thread.take().map(JoinHandle::join);
        }
    }
}

impl Zone {
    /// The answer to a message with one question (RFC 1035, section 4.1).
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let (mut at, mut labels) = (12, vec![]);
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let question = message.get(12..at + 4)?;
        let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
        let name = labels.join(".");
        *self.asked.entry(name.clone()).or_default() += 1;
        let found = self.records.get(&name);
        let code = match found {
            _ if self.broken => FAILED,
            None => NOT_THERE,
            Some(_) => 0,
        };
        let records = found.into_iter().flatten().filter(|record| code == 0 && record.kind == kind);
        let records: Vec<_> = records.collect();

        let mut answer = message[..2].to_vec();
        answer.extend([0x81, 0x80 | code]); // an answer, recursion wanted and available
        answer.extend([0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(question);
        for Record { kind, ttl, data } in records {
            answer.extend([0xc0, 12]); // the name of the question
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend((data.len() as u16).to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}
