use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A way to a server that can be cut and mended, as a broken network would.
pub struct Proxy {
    pub port: u16,
    open: Arc<AtomicBool>,
    /// How often it was frozen, and whether it is.
    frozen: watch::Sender<(u32, bool)>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            open: Arc::new(AtomicBool::new(true)),
            frozen: watch::channel((0, false)).0,
            connections: Arc::default(),
        };
        let (open, connections, frozen) = (proxy.open.clone(), proxy.connections.clone(), proxy.frozen.clone());
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                // Dropped, when cut: the client sees its connection closed.
                if open.load(Ordering::SeqCst) {
                    let frozen = frozen.subscribe();
                    connections.lock().unwrap().spawn(async move {
                        let Ok(mut there) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                        let times = frozen.borrow().0;
                        let copy = async {
                            if frozen.borrow().1 {
                                std::future::pending::<()>().await;
                            }
                            let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                        };
                        let mut waits = frozen.clone();
                        tokio::select! {
                            () = copy => return,
                            _ = waits.wait_for(|(now, _)| *now > times) => {}
                        }
                        // Open, silent, and for ever so.
                        std::future::pending::<()>().await;
                    });
                }
            }
        });
        proxy
    }

    /// Ends all connections and takes no new ones.
    pub fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.connections.lock().unwrap().abort_all();
    }

    pub fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
    }

    /// Forwards nothing more, and keeps all connections open, new ones too: neither side learns of it.
    pub fn freeze(&self) {
        self.frozen.send_modify(|(times, frozen)| {
            *times += 1;
            *frozen = true;
        });
    }

    /// Forwards what new connections send; those that were frozen stay so.
    pub fn thaw(&self) {
        self.frozen.send_modify(|(_, frozen)| *frozen = false);
    }
}

/// Spreads new connections over servers that come and go, as a Service does; connections that are open stay where they are.
pub struct Balancer {
    pub port: u16,
    servers: Arc<Mutex<Vec<u16>>>,
}

impl Balancer {
    /// Without servers: until there is one, connections are closed.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let balancer = Self { port: listener.local_addr().unwrap().port(), servers: Arc::default() };
        let servers = balancer.servers.clone();
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                // The next one in turn goes to the end.
                let port = {
                    let mut servers = servers.lock().unwrap();
                    if !servers.is_empty() {
                        servers.rotate_left(1);
                    }
                    servers.last().copied()
                };
                let Some(port) = port else { continue };
                // Before the next connection: whoever was removed gets none after that.
                let Ok(mut there) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                tokio::spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        });
        balancer
    }

    pub fn add(&self, port: u16) {
        self.servers.lock().unwrap().push(port);
    }

    pub fn remove(&self, port: u16) {
        self.servers.lock().unwrap().retain(|known| *known != port);
    }
}
