//! Whatever the votes, an approval has the people that it takes.

use proptest::prelude::*;

use super::*;

const PEOPLE: u128 = 6;

fn hand() -> impl Strategy<Value = Hand> {
    // A person comes as itself, or through one of two service accounts.
    (1..PEOPLE, 0..3u128).prop_map(|(person, account)| Hand {
        id: if account == 0 { Uuid::from_u128(person) } else { Uuid::from_u128(100 * account + person) },
        person: Uuid::from_u128(person),
    })
}

fn vote(hand: Hand, behalf: Option<u128>) -> Vote {
    let voice = behalf.map_or(hand.person, Uuid::from_u128);
    Vote { hand, voice, comment: None, at: Timestamp(0) }
}

proptest! {
    /// Whatever the votes: it is approved by as many people as it takes, none of whom wrote it,
    /// and for what they saw.
    #[test]
    fn an_approval_has_its_people(
        author in hand(),
        editor in hand(),
        required in 0usize..4,
        votes in proptest::collection::vec((hand(), proptest::option::of(1..PEOPLE), any::<bool>()), 0..12),
    ) {
        let mut pending = Draft { author, editor }.submit("seen".into(), required);
        for (hand, behalf, saw) in votes {
            let seen = if saw { "seen" } else { "older" };
            match pending.clone().approve(vote(hand, behalf), seen) {
                Err(_) => {}
                Ok(Voted::Pending(next)) => pending = next,
                Ok(Voted::Approved(approved)) => {
                    prop_assert!(approved.votes.len() >= required.max(1));
                    let mut people: Vec<Uuid> = approved.votes.iter().map(|vote| vote.hand.person).collect();
                    let mut voices: Vec<Uuid> = approved.votes.iter().map(|vote| vote.voice).collect();
                    people.sort_unstable();
                    voices.sort_unstable();
                    let (all, heard) = (people.len(), voices.len());
                    people.dedup();
                    voices.dedup();
                    prop_assert_eq!((people.len(), voices.len()), (all, heard));
                    for wrote in [author.person, editor.person] {
                        prop_assert!(!people.contains(&wrote) && !voices.contains(&wrote));
                    }
                    prop_assert_eq!(approved.content_hash, "seen");
                    return Ok(());
                }
            }
        }
    }
}

#[test]
fn a_rejection_has_a_reason_and_a_second_person() {
    let (ann, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let hand = |id| Hand { id, person: id };
    let pending = || Draft { author: hand(ann), editor: hand(ann) }.submit("h".into(), 1);
    let refused = |by: Uuid, reason: &str| pending().reject(hand(by), by, reason).unwrap_err().code;
    assert_eq!(refused(ann, "no"), Code::SelfApproval);
    assert_eq!(refused(bob, " \n"), Code::Required);
    let rejected = pending().reject(hand(bob), bob, " too broad ").unwrap();
    assert_eq!(rejected.reason, "too broad");
    assert_eq!(pending().withdraw().author, hand(ann));
}
