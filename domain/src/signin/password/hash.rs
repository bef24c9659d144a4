//! What a password has to be, and its argon2id.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::error::{Code, Error, Result};

/// What one hash takes, and how many are worked on at once: 4 times 19 MiB at most.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const AT_ONCE: usize = 4;
/// How many may wait for their turn; more are told to come back.
const WAITING: usize = 64;
const BACK_IN_SECONDS: u64 = 2;

/// The fewest and the most characters of a password.
pub const SHORTEST: usize = 12;
pub const LONGEST: usize = 256;
/// The fewest different characters.
const DIFFERENT: usize = 5;

/// A password as it was typed. It is not printed by accident.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Refuses what is guessed first: what is short, what repeats itself, and what is made of `known`,
/// the words that everybody knows of the account.
pub(crate) fn check(password: &Password, known: &[&str]) -> Result<()> {
    let refuse = |message: String| Err(Error::invalid("password", message));
    let length = password.0.chars().count();
    if !(SHORTEST..=LONGEST).contains(&length) {
        return refuse(format!("A password has {SHORTEST} to {LONGEST} characters."));
    }
    let different: std::collections::BTreeSet<char> = password.0.chars().collect();
    if different.len() < DIFFERENT {
        return refuse(format!("A password has at least {DIFFERENT} different characters."));
    }
    let letters = |text: &str| -> String {
        text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let plain = letters(&password.0);
    for word in known.iter().map(|word| letters(word)).filter(|word| word.len() >= 4) {
        // What is left beside the word must itself be long enough to guess at.
        if plain.contains(&word) && plain.replace(&word, "").chars().count() < SHORTEST - 4 {
            return refuse("A password is not made of your name, address or company.".to_owned());
        }
    }
    Ok(())
}

/// Hashes and compares off the threads that serve requests, few at once.
pub(crate) struct Passwords {
    turns: Semaphore,
    waiting: AtomicUsize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), waiting: AtomicUsize::new(0) }
    }
}

/// One who waits, counted until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    pub async fn hash(&self, password: Password) -> Result<String> {
        self.work(move || encode(&password)).await?
    }

    /// Whether the password is that of `hash`. Without one it takes as long, and is not.
    pub async fn is_of(&self, password: Password, hash: Option<String>) -> Result<bool> {
        self.work(move || {
            let known = hash.is_some();
            let nobodys = DUMMY.clone();
            let hash = hash.unwrap_or(nobodys);
            let hash = PasswordHash::new(&hash).map_err(|error| Error::internal(error.to_string()))?;
            let same = argon2()?.verify_password(password.0.as_bytes(), &hash).is_ok();
            Ok(same && known)
        })
        .await?
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let counted = Waiting(&self.waiting);
        if waiting >= WAITING + AT_ONCE {
            let message = "Many people sign in just now: try again in a moment.";
            return Err(Error::new(Code::TooManyAttempts, message).with("retryAfter", BACK_IN_SECONDS));
        }
        let turn = self.turns.acquire().await.map_err(Error::internal)?;
        let done = tokio::task::spawn_blocking(work).await.map_err(Error::internal)?;
        drop((turn, counted));
        Ok(done)
    }
}

/// The hash of nobody's password.
static DUMMY: LazyLock<String> =
    LazyLock::new(|| encode(&Password::new("nobody's password")).unwrap_or_default());

fn argon2() -> Result<Argon2<'static>> {
    let params =
        Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn encode(password: &Password) -> Result<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Error::internal(error.to_string()))?;
    let hash: PasswordHash = argon2()?
        .hash_password_with_salt(password.0.as_bytes(), &salt)
        .map_err(|error| Error::internal(error.to_string()))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_refused() {
        let known = ["ann.author@acme.example", "Ann Author", "Acme Retail"];
        for good in ["correct horse battery", "åäöåäö-ÅÄÖ-12", "acmeretail is where I count sheep"] {
            assert!(check(&Password::new(good), &known).is_ok(), "{good}");
        }
        for bad in [
            "",
            "short",
            "aaaaaaaaaaaaaaaa",
            "abababababababab",
            "Acme-Retail-2026",
            "Acme-Retail-Acme-Retail",
            "ann author 123",
        ] {
            assert_eq!(check(&Password::new(bad), &known).unwrap_err().field, ["password"], "{bad}");
        }
        assert!(check(&Password::new("x1y2z3".repeat(50)), &known).is_err());
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let passwords = Passwords::default();
        let hash = passwords.hash(Password::new("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(Password::new("correct horse")).await.unwrap(), "salted");
        let same = async |text: &str, hash: Option<&String>| {
            passwords.is_of(Password::new(text), hash.cloned()).await.unwrap()
        };
        assert!(same("correct horse", Some(&hash)).await);
        assert!(!same("correct horsf", Some(&hash)).await);
        assert!(!same("nobody's password", None).await, "nobody is nobody");
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(…)");
    }

    #[tokio::test]
    async fn a_flood_waits_or_is_sent_back() {
        let passwords = Passwords::default();
        let flood = (0..3 * WAITING).map(|_| passwords.is_of(Password::new("a"), None));
        let answers = futures_util::future::join_all(flood).await;
        let refused = answers.iter().filter(|answer| answer.is_err()).count();
        assert_eq!(refused, 2 * WAITING - AT_ONCE);
        assert_eq!(answers.into_iter().find_map(Result::err).unwrap().code, Code::TooManyAttempts);
        assert!(!passwords.is_of(Password::new("a"), None).await.unwrap(), "and then it goes on");
    }
}
