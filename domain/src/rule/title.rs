//! Titles in one style: trimmed, single spaces, title case, and the capitals that carry meaning kept.

/// Words that stay small inside of a title.
const SMALL: &[&str] = &[
    "a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "is", "of", "on", "or", "the", "to",
    "via", "with",
];

/// Words that a title shouted in capitals keeps in capitals.
const ACRONYMS: &[&str] = &[
    "AES", "API", "ASLR", "AWS", "CBC", "CORS", "CPU", "CSP", "CSRF", "CVE", "CVSS", "CWE", "DES", "DLL",
    "DNS", "DOS", "EOL", "FTP", "GCP", "GPU", "HSTS", "HTML", "HTTP", "HTTPS", "IAM", "ICMP", "IDOR", "IMAP",
    "IP", "IPMI", "JDBC", "JMX", "JNDI", "JSON", "JWT", "KEV", "LDAP", "LFI", "MD5", "MFA", "MITM", "NFS",
    "NTLM", "NTP", "OS", "OWASP", "PHP", "PKI", "RCE", "RDP", "REST", "RFI", "RPC", "RSA", "SAML", "SHA",
    "SMB", "SMTP", "SNMP", "SOAP", "SQL", "SSH", "SSL", "SSO", "SSRF", "SSTI", "TCP", "TLS", "UDP", "URI",
    "URL", "VPN", "WAF", "XML", "XSS", "XXE", "YAML",
];

/// The title in the one style. Doing it twice changes nothing more.
pub fn normalize(title: &str) -> String {
    let once = restyled(title);
    // `a XSS FLAW` is shouted only once its first letter is a capital.
    if is_shouted(&once) { restyled(&once) } else { once }
}

fn is_shouted(title: &str) -> bool {
    !title.chars().any(char::is_lowercase)
}

fn restyled(title: &str) -> String {
    let shouted = is_shouted(title);
    let mut out = String::with_capacity(title.len());
    for (at, word) in title.split_whitespace().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        restyle(&mut out, word, at == 0, shouted);
    }
    out
}

/// Adds a word of the title in its style.
fn restyle(out: &mut String, word: &str, first: bool, shouted: bool) {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    // Identifiers, paths, versions and CVE ids are names: they are never restyled.
    let is_name =
        bare.chars().any(|c| c.is_ascii_digit() || matches!(c, '_' | '/' | '\\' | '.' | ':' | '@' | '='));
    // What has capitals of its own keeps them, and in a title that has nothing else what is known by them.
    let is_kept = if shouted { ACRONYMS.contains(&bare) } else { bare.chars().any(char::is_uppercase) };
    // Beyond ASCII, changing the case of a word and changing it back may give another word.
    if is_name || bare.is_empty() || !bare.is_ascii() || is_kept {
        out.push_str(word);
    } else {
        let is_small = !first && SMALL.iter().any(|small| small.eq_ignore_ascii_case(word));
        capitalize(out, word, !is_small);
    }
}

/// Adds a word in lower case; with `capital`, the first letter of each part between hyphens is not.
fn capitalize(out: &mut String, word: &str, capital: bool) {
    let mut at_start = capital;
    for letter in word.chars() {
        if at_start && letter.is_ascii_alphabetic() {
            out.push(letter.to_ascii_uppercase());
            at_start = false;
        } else {
            out.push(letter.to_ascii_lowercase());
            at_start = at_start || capital && letter == '-';
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::normalize;

    #[test]
    fn styles() {
        for (title, styled) in [
            ("  sql   injection in  login form ", "Sql Injection in Login Form"),
            ("SQL INJECTION IN THE LOGIN FORM", "SQL Injection in the Login Form"),
            ("openssl: CVE-2022-0778 infinite loop", "Openssl: CVE-2022-0778 Infinite Loop"),
            ("Apache Log4j2 JNDI features", "Apache Log4j2 JNDI Features"),
            ("the use of libssl1.1 via /usr/bin/foo", "The Use of libssl1.1 via /usr/bin/foo"),
            ("cross-site scripting (reflected)", "Cross-Site Scripting (Reflected)"),
            ("übergroße Werte", "übergroße Werte"),
            ("iOS and macOS kernel bug", "iOS and macOS Kernel Bug"),
            ("a XSS FLAW", "A XSS Flaw"),
            ("", ""),
        ] {
            assert_eq!(normalize(title), styled);
        }
    }

    proptest! {
        #[test]
        fn once_is_enough(title in "[ a-zA-Z0-9ßİ/.:()_-]{0,60}") {
            let once = normalize(&title);
            prop_assert_eq!(normalize(&once), once);
        }
    }
}
