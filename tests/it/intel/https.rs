//! Fetches over TLS: from a server whose authority is the test's own.

use std::sync::Arc;

use domain::gateway::http::{Conditions, Egress, ready};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// An authority: its certificate in PEM, and what signs.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).expect("it signs itself").pem();
    (pem, Issuer::new(params, key))
}

/// A server on the loopback that says `hello` to everybody, known as `name`.
async fn serve(issuer: &Issuer<'static, KeyPair>, name: &str) -> u16 {
    ready();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, issuer).expect("the authority signs");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

#[tokio::test]
async fn only_known_authorities_are_trusted() {
    let (pem, issuer) = authority();
    let (stranger, _) = authority();
    let port = serve(&issuer, "127.0.0.1").await;
    let misnamed = serve(&issuer, "elsewhere.example").await;
    let allowed = ["127.0.0.1".to_owned()];
    let egress = || Egress::new(&allowed).expect("a network");
    let get = async |egress: Egress, port: u16| {
        let got = egress.get(&format!("https://127.0.0.1:{port}/"), &Conditions::default(), 100).await;
        let mut download = got.map_err(|error| error.message)?.expect("there was no condition");
        let mut body = Vec::new();
        while let Some(part) = download.next().await.map_err(|error| error.message)? {
            body.extend_from_slice(&part);
        }
        Ok::<_, String>(String::from_utf8(body).expect("it is a text"))
    };
    let trusting = |pem: &str| egress().trusting(pem.as_bytes()).expect("a certificate");
    assert_eq!(get(trusting(&pem), port).await.as_deref(), Ok("hello"));
    assert_eq!(get(trusting(&format!("{stranger}{pem}")), port).await.as_deref(), Ok("hello"));
    for (who, egress, port) in [
        ("nobody's", egress(), port),
        ("a stranger's", trusting(&stranger), port),
        ("of another name", trusting(&pem), misnamed),
    ] {
        let refused = get(egress, port).await.expect_err(who);
        assert!(refused.contains("cannot be reached"), "{who}: {refused}");
    }
    for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let error = egress().trusting(pem.as_bytes()).expect_err(pem);
        assert_eq!(error.field, ["egress_ca"]);
    }
}
