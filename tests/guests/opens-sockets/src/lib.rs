//! Opens a socket, with nothing but the standard library: the gateway must refuse the component by that import.

use limen::prelude::*;

struct OpensSockets;

#[limen::policy]
impl OpensSockets {
    fn configure() -> Result<Self> {
        Ok(OpensSockets)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let connected = std::net::TcpStream::connect("127.0.0.1:80").is_ok();
        request.set_header("x-connected", &connected.to_string())?;
        Ok(Flow::Next)
    }
}
