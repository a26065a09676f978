//! Where nobody may be called: link-local addresses and the metadata services of clouds.
//!
//! Such an address hands out the machine's own credentials. It is checked twice, because a resolver
//! is never asked about a literal address, and a name may resolve to anything. Other private
//! addresses are fine: only the operator's configuration names destinations, never a message.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// How long a name may take to resolve.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// Metadata services outside the link-local ranges.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
];

/// An address that may not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is a link-local or metadata address, which is refused unless it is listed as allowed")]
pub(crate) struct Forbidden(pub(crate) IpAddr);

/// Knows which addresses may be called, and resolves names to those only.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    allow: Arc<[IpAddr]>,
}

impl Guard {
    pub(crate) fn new(allow: Vec<IpAddr>) -> Self {
        Self { allow: allow.into_iter().map(unmapped).collect() }
    }

    /// Checks the host of `url` if it is a literal address; names are checked when they resolve.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.check(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => self.check(IpAddr::V6(ip)),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn check(&self, ip: IpAddr) -> Result<(), Forbidden> {
        let ip = unmapped(ip);
        if self.allow.contains(&ip) || !(is_link_local(ip) || METADATA.contains(&ip)) {
            Ok(())
        } else {
            Err(Forbidden(ip))
        }
    }

    /// What of `found` may be called; an error if nothing is left.
    fn allowed(
        &self,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Forbidden> {
        let (mut kept, mut refused) = (Vec::new(), None);
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => kept.push(address),
                Err(forbidden) => refused = Some(forbidden),
            }
        }
        match refused {
            Some(forbidden) if kept.is_empty() => Err(forbidden),
            _ => Ok(kept),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let lookup = tokio::net::lookup_host((name.as_str(), 0));
            let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await.map_err(|_| {
                format!("no answer from the name service within {LOOKUP_TIMEOUT:?}")
            })??;
            let kept: Addrs = Box::new(guard.allowed(found)?.into_iter());
            Ok(kept)
        })
    }
}

/// The address itself where IPv6 only wraps an IPv4 one (mapped, compatible, NAT64 or 6to4).
fn unmapped(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0) if g != 0 => v4(g, h),
        (0x64, 0xff9b, 0, 0, 0, 0) => v4(g, h),
        (0x2002, ..) => v4(b, c),
        _ => ip,
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, allow: &[&str]) -> bool {
        let guard = Guard::new(allow.iter().map(|ip| ip.parse().unwrap()).collect());
        guard.check_url(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn link_local_and_metadata_addresses_are_refused_in_every_spelling() {
        for url in [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://[fe80::1]/",
            "http://[febf::1]/",
            "http://[::ffff:169.254.1.1]/",
            "http://[::169.254.1.1]/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
        ] {
            assert!(!check(url, &[]), "{url}");
        }
    }

    #[test]
    fn other_private_addresses_and_listed_ones_are_fine() {
        for url in ["http://127.0.0.1/", "http://10.0.0.1/", "http://[fd00::1]/", "http://[::1]/"] {
            assert!(check(url, &[]), "{url}");
        }
        assert!(check("http://169.254.1.1/", &["169.254.1.1"]));
        assert!(check("http://[::ffff:169.254.1.1]/", &["169.254.1.1"]));
        assert!(!check("http://169.254.1.2/", &["169.254.1.1"]));
    }

    #[test]
    fn a_name_resolves_to_allowed_addresses_only() {
        let guard = Guard::new(Vec::new());
        let found = |ips: &[&str]| {
            let ips: Vec<SocketAddr> =
                ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            guard.allowed(ips.into_iter()).map(|kept| kept.len())
        };
        assert_eq!(found(&["10.0.0.1", "169.254.1.1"]), Ok(1));
        assert_eq!(found(&["169.254.1.1"]), Err(Forbidden("169.254.1.1".parse().unwrap())));
        assert_eq!(found(&[]), Ok(0));
    }
}
