//! An upstream: it plays answers, and keeps what it was asked.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::rc::Rc;

use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use limen_config::suite::Answer;
use tokio::net::TcpStream;

use super::wire::{self, Here, Read, Sent};

/// A loopback port, and what is said there.
pub struct Origin {
    socket: TcpListener,
    port: u16,
    http2: bool,
    part: Rc<Part>,
}

#[derive(Default)]
struct Part {
    /// The first that is for a request is taken.
    answers: RefCell<Vec<Answer>>,
    seen: RefCell<Vec<Seen>>,
}

/// A request, as the upstream read it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub read: Read,
    /// Whether there was an answer to it.
    pub answered: bool,
}

impl Origin {
    pub fn bind(http2: bool) -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        Ok(Origin { socket, port, http2, part: Rc::default() })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Begins to serve.
    pub fn open(&self) -> io::Result<()> {
        let socket = tokio::net::TcpListener::from_std(self.socket.try_clone()?)?;
        let (part, http2) = (self.part.clone(), self.http2);
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::task::spawn_local(part.clone().serve(stream, http2));
            }
        });
        Ok(())
    }

    /// From now on these, and nothing has been seen yet.
    pub fn answer_with(&self, answers: Vec<Answer>) {
        self.part.answers.replace(answers);
        self.part.seen.take();
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.part.seen.borrow().clone()
    }
}

impl Part {
    async fn serve(self: Rc<Self>, stream: TcpStream, http2: bool) {
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(stream);
        let service = service_fn(move |request| self.clone().answer(request));
        // The gateway says what went wrong, if it does.
        if http2 {
            let _ = http2::Builder::new(Here).serve_connection(io, service).await;
        } else {
            let mut builder = http1::Builder::new();
            let _ = builder.auto_date_header(false).serve_connection(io, service).await;
        }
    }

    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> io::Result<Response<Sent>> {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let answer = self.find(&head.method, &target);
        let read = wire::read(body).await;
        let (method, headers) = (head.method, head.headers);
        self.seen.borrow_mut().push(Seen { method, target, headers, read, answered: answer.is_some() });
        let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
        let Some(answer) = answer else { return Err(gone()) };
        if !answer.delay.is_zero() {
            tokio::time::sleep(answer.delay).await;
        }
        let mut body = Sent::new(&answer.content, &answer.trailers);
        if answer.close {
            if answer.content.bytes.is_empty() {
                return Err(gone());
            }
            body = body.broken();
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        wire::fill(response.headers_mut(), &answer.headers, &answer.content);
        Ok(response)
    }

    fn find(&self, method: &Method, target: &str) -> Option<Answer> {
        let answers = self.answers.borrow();
        let suits = |answer: &&Answer| {
            answer.method.as_ref().is_none_or(|wanted| wanted == method)
                && answer.target.as_ref().is_none_or(|wanted| wanted == target)
        };
        answers.iter().find(suits).cloned()
    }
}
