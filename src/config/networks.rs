//! Which peers a listener takes anything from: networks as they are written, `10.0.0.0/8` or one address.

use std::net::IpAddr;

/// Leading bits of an address of IPv4 written as one of IPv6 that are not its own: `::ffff:0:0/96`.
const MAPPED_BITS: u32 = 96;

/// Peers that are let in; all of them without a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    /// Leading bits that must be the same.
    bits: u32,
}

impl Networks {
    /// Reads a list; else which entry is no network.
    pub fn parse(written: &[String]) -> Result<Self, String> {
        written
            .iter()
            .map(|text| Network::parse(text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether a peer is let in.
    pub fn admit(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.holds(peer))
    }
}

impl Network {
    fn parse(text: &str) -> Result<Self, String> {
        let odd = || format!("{text:?} is no network: write 10.0.0.0/8, fd00::/8 or one address");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| odd())?;
        // `::ffff:10.0.0.0/104` is how some write `10.0.0.0/8`.
        let address = written.to_canonical();
        let mapped_bits = if address == written { 0 } else { MAPPED_BITS };
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            // `parse` would take a sign as well.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                let bits: u32 = bits.parse().map_err(|_| odd())?;
                bits.checked_sub(mapped_bits).ok_or_else(odd)?
            }
            Some(_) => return Err(odd()),
            None => all,
        };
        if bits > all {
            return Err(odd());
        }
        let network = Self { address, bits };
        if bits < all && !network.is_clean() {
            return Err(format!(
                "{text:?} has bits beyond its prefix: one address is written without a slash"
            ));
        }
        Ok(network)
    }

    /// Whether everything beyond the prefix is zero, as in a network and not in an address of it.
    fn is_clean(&self) -> bool {
        match self.address {
            IpAddr::V4(own) => own.to_bits().checked_shl(self.bits).unwrap_or(0) == 0,
            IpAddr::V6(own) => own.to_bits().checked_shl(self.bits).unwrap_or(0) == 0,
        }
    }

    fn holds(&self, peer: IpAddr) -> bool {
        match (self.address, peer) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                let differing = own.to_bits() ^ peer.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => {
                let differing = own.to_bits() ^ peer.to_bits();
                differing.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_let_in_by_their_network() {
        let cases: [(&[&str], &str, bool); 16] = [
            (&[], "203.0.113.9", true),
            (&["10.0.0.0/8"], "10.255.1.2", true),
            (&["10.0.0.0/8"], "11.0.0.1", false),
            (&["10.0.0.0/8"], "::ffff:10.1.2.3", true),
            (&["10.0.0.0/8", "fd00::/8"], "fd12::1", true),
            (&["fd00::/8"], "fe80::1", false),
            (&["192.0.2.7"], "192.0.2.7", true),
            (&["192.0.2.7"], "192.0.2.8", false),
            (&["0.0.0.0/0"], "203.0.113.9", true),
            (&["0.0.0.0/0"], "::1", false),
            (&["::ffff:10.0.0.0/104"], "10.1.2.3", true),
            (&["::ffff:10.0.0.0/104"], "::ffff:10.1.2.3", true),
            (&["::ffff:10.0.0.0/104"], "11.1.2.3", false),
            (&["::ffff:192.0.2.7"], "192.0.2.7", true),
            (&["::ffff:0.0.0.0/96"], "203.0.113.9", true),
            (&["::/0"], "203.0.113.9", false),
        ];
        for (written, peer, expected) in cases {
            let written: Vec<_> = written.iter().map(|text| (*text).to_owned()).collect();
            let networks = Networks::parse(&written).unwrap();
            let admitted = networks.admit(peer.parse().unwrap());
            assert_eq!(admitted, expected, "{written:?} {peer}");
        }
    }

    #[test]
    fn what_is_no_network_is_told() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "::/129",
            "host",
            "10.0.0.0/-1",
            "::ffff:10.0.0.0/8",
            "::ffff:10.0.0.0/129",
        ] {
            let error = Networks::parse(&[bad.to_owned()]).unwrap_err();
            assert!(
                error.ends_with("write 10.0.0.0/8, fd00::/8 or one address"),
                "{error}"
            );
        }
        for bad in ["10.0.0.7/8", "::ffff:10.0.0.7/104", "fd00::1/8"] {
            let error = Networks::parse(&[bad.to_owned()]).unwrap_err();
            assert!(error.contains("bits beyond its prefix"), "{error}");
        }
    }
}
