//! Proves a chain without the server: from its rows alone, one after the other.

use std::fmt;

use uuid::Uuid;

use super::{Content, GENESIS, Hash, chain};

/// An entry as it is stored, with what was hashed of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub seq: i64,
    pub at: i64,
    pub action: String,
    pub record_kind: String,
    pub record: Uuid,
    pub actor: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub cause: Option<String>,
    pub digest: Hash,
    pub hash: Hash,
    /// What the entry is found by; not hashed, as the cause says it.
    pub rule: Option<Uuid>,
}

impl Link {
    /// The rule of whose turn the entry tells, by its own words.
    fn told_rule(&self) -> Option<Uuid> {
        const OF: &str = "\"rule\":\"";
        if !self.action.starts_with("finding.rule_") {
            return None;
        }
        // Inside of a text the quotes would be escaped.
        let (_, rest) = self.cause.as_deref()?.split_once(OF)?;
        rest.get(..36)?.parse().ok()
    }

    fn content(&self) -> Content<'_> {
        Content {
            at: self.at,
            action: &self.action,
            record_kind: &self.record_kind,
            record: self.record,
            actor: &self.actor,
            before: self.before.as_deref(),
            after: self.after.as_deref(),
            cause: self.cause.as_deref(),
        }
    }
}

/// Where a ledger is broken first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    pub company: Uuid,
    /// The number of the entry or event at fault.
    pub seq: i64,
    pub fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no entry of this number, though there are later ones.
    Gap,
    /// What the entry says is not what was digested.
    Content,
    /// The entry does not follow the one before it.
    Chain,
    /// The chain ends here, before the number that it had reached.
    Short,
    /// The chain's head is not its last entry.
    Head,
    /// The entry is not the one that a signed head stood on.
    Mark,
    /// The company of a signed head has no ledger.
    Missing,
    /// There is no event of this number, though there were later ones.
    EventMissing,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { company, seq, fault } = self;
        write!(f, "company {company}: ")?;
        match fault {
            Fault::Gap => write!(f, "entry {seq} is missing"),
            Fault::Content => write!(f, "entry {seq} was altered"),
            Fault::Chain => write!(f, "entry {seq} does not follow the one before it"),
            Fault::Short => write!(f, "the chain ends before entry {seq}, which it had reached"),
            Fault::Head => write!(f, "the head does not stand on entry {seq}"),
            Fault::Mark => write!(f, "entry {seq} is not the one that the signed head stood on"),
            Fault::Missing => write!(f, "the ledger is missing"),
            Fault::EventMissing => write!(f, "event {seq} is missing"),
        }
    }
}

/// A chain as far as it was proved.
#[derive(Clone, Debug)]
pub struct Chain {
    company: Uuid,
    seq: i64,
    hash: Hash,
    /// The hashes that entries had when heads were signed.
    marks: Vec<(i64, Hash)>,
}

impl Chain {
    /// The beginning of a company's chain, which is to go through all `marks`.
    pub fn new(company: Uuid, marks: Vec<(i64, Hash)>) -> Self {
        Self { company, seq: 0, hash: GENESIS, marks }
    }

    /// The number of the last entry proved.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// How many entries were proved.
    pub fn length(&self) -> u64 {
        self.seq.unsigned_abs()
    }

    /// Proves the next entry.
    pub fn feed(&mut self, link: &Link) -> Result<(), Break> {
        let next = self.seq + 1;
        if link.seq != next {
            return Err(self.broken(next, Fault::Gap));
        }
        if link.content().digest() != link.digest || link.told_rule() != link.rule {
            return Err(self.broken(next, Fault::Content));
        }
        if chain(&self.hash, next, &link.digest) != link.hash {
            return Err(self.broken(next, Fault::Chain));
        }
        if self.marks.iter().any(|(seq, hash)| *seq == next && *hash != link.hash) {
            return Err(self.broken(next, Fault::Mark));
        }
        self.seq = next;
        self.hash = link.hash;
        Ok(())
    }

    /// There are no more entries: is this the head, and are all marks passed?
    pub fn finish(&self, head_seq: i64, head_hash: &Hash) -> Result<(), Break> {
        let reached = self.marks.iter().map(|(seq, _)| *seq).chain([head_seq]).max();
        if reached.is_some_and(|reached| reached > self.seq) {
            return Err(self.broken(self.seq + 1, Fault::Short));
        }
        if head_seq != self.seq || *head_hash != self.hash {
            return Err(self.broken(self.seq, Fault::Head));
        }
        Ok(())
    }

    fn broken(&self, seq: i64, fault: Fault) -> Break {
        Break { company: self.company, seq, fault }
    }
}

/// Proves a whole chain from its rows.
pub fn verify<'a>(
    company: Uuid,
    links: impl IntoIterator<Item = &'a Link>,
    marks: Vec<(i64, Hash)>,
    head: (i64, &Hash),
) -> Result<(), Break> {
    let mut chain = Chain::new(company, marks);
    for link in links {
        chain.feed(link)?;
    }
    chain.finish(head.0, head.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(texts: &[String]) -> Vec<Link> {
        let mut last = GENESIS;
        let mut links = Vec::new();
        for (at, text) in (1..).zip(texts) {
            let mut link = Link {
                seq: at,
                at: at * 10,
                action: "asset.updated".into(),
                record_kind: "asset".into(),
                record: Uuid::from_u128(7),
                actor: "{}".into(),
                before: None,
                after: Some(text.clone()),
                cause: None,
                digest: GENESIS,
                hash: GENESIS,
                rule: None,
            };
            link.digest = link.content().digest();
            link.hash = chain(&last, at, &link.digest);
            last = link.hash;
            links.push(link);
        }
        links
    }

    fn head(links: &[Link]) -> (i64, Hash) {
        links.last().map_or((0, GENESIS), |link| (link.seq, link.hash))
    }

    fn check(links: &[Link], marks: Vec<(i64, Hash)>, head: (i64, Hash)) -> Result<(), Break> {
        verify(Uuid::nil(), links, marks, (head.0, &head.1))
    }

    proptest! {
        #[test]
        fn whatever_is_done_to_a_chain_is_found_where_it_was_done(
            texts in proptest::collection::vec("[a-c]{0,3}", 1..12), at in any::<proptest::sample::Index>(), how in 0..6
        ) {
            let links = made(&texts);
            let whole = head(&links);
            let at = at.index(links.len());
            prop_assert_eq!(check(&links, vec![(links[at].seq, links[at].hash)], whole), Ok(()));

            let seq = links[at].seq;
            let mut bad = links.clone();
            let mut stands = whole;
            let mut expected = (seq, Fault::Content);
            match how {
                0 => bad[at].after = Some("altered".into()),
                1 => bad[at].after = None,
                2 => bad[at].at += 1,
                3 => {
                    // With its digest made to fit, it no longer follows.
                    bad[at].actor = "{\"name\":\"x\"}".into();
                    bad[at].digest = bad[at].content().digest();
                    expected.1 = Fault::Chain;
                }
                4 => {
                    bad.remove(at);
                    expected.1 = if at == bad.len() { Fault::Short } else { Fault::Gap };
                }
                _ => {
                    // The end is cut off and the head moved back: only what is kept elsewhere tells.
                    bad.truncate(at);
                    stands = head(&bad);
                    prop_assert_eq!(check(&bad, Vec::new(), stands), Ok(()));
                    expected.1 = Fault::Short;
                }
            }
            let found = check(&bad, vec![whole], stands).unwrap_err();
            prop_assert_eq!((found.seq, found.fault), expected);
        }
    }

    #[test]
    fn a_chain_made_anew_is_told_by_a_mark() {
        let links = made(&["a".into(), "b".into(), "c".into()]);
        let other = made(&["a".into(), "x".into(), "c".into()]);
        let mark = (links[1].seq, links[1].hash);
        assert_eq!(check(&other, Vec::new(), head(&other)), Ok(()));
        assert_eq!(check(&other, vec![mark], head(&other)).unwrap_err().fault, Fault::Mark);
    }

    #[test]
    fn an_entry_is_found_by_the_rule_that_it_tells_of() {
        let rule = Uuid::from_u128(9);
        let told = |action: &str, cause: String, of: Option<Uuid>| {
            let mut links = made(&["a".into()]);
            (links[0].action, links[0].cause, links[0].rule) = (action.into(), Some(cause), of);
            links[0].digest = links[0].content().digest();
            links[0].hash = chain(&GENESIS, 1, &links[0].digest);
            check(&links, Vec::new(), head(&links)).map_err(|broken| broken.fault)
        };
        let cause = format!(r#"{{"reason":"\"rule\":\"x\"","rule":"{rule}"}}"#);
        for action in ["finding.rule_applied", "finding.rule_observed"] {
            assert_eq!(told(action, cause.clone(), Some(rule)), Ok(()));
            for other in [None, Some(Uuid::nil())] {
                assert_eq!(told(action, cause.clone(), other), Err(Fault::Content));
            }
        }
        assert_eq!(told("finding.updated", cause.clone(), None), Ok(()));
        assert_eq!(told("finding.updated", cause, Some(rule)), Err(Fault::Content));
    }

    #[test]
    fn a_head_that_stands_elsewhere_is_told() {
        let links = made(&["a".into(), "b".into()]);
        assert_eq!(check(&links, Vec::new(), (2, GENESIS)).unwrap_err().fault, Fault::Head);
        assert_eq!(check(&links, Vec::new(), head(&links[..1])).unwrap_err().fault, Fault::Head);
    }
}
