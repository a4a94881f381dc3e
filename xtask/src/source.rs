//! What the sources of a pure crate must not name: the library would give them a clock, files or the environment
//! without any dependency showing it. Reads tokens, not text, so comments and literals do not count; code that is
//! only compiled for tests does not either.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Paths, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    ("Instant::now", "take the time as a value"),
    ("OffsetDateTime::now_utc", "take the time as a value"),
    ("SystemTime::now", "take the time as a value"),
    ("UtcDateTime::now", "take the time as a value"),
    ("std::env", "take the setting as a value"),
    ("std::fs", "take the contents as a value"),
    ("std::net::TcpListener", "leave I/O to the caller"),
    ("std::net::TcpStream", "leave I/O to the caller"),
    ("std::net::UdpSocket", "leave I/O to the caller"),
    ("std::os::unix::net", "leave I/O to the caller"),
    ("std::process", "leave processes to the caller"),
];

/// (package, file, path): the asking side of the doors' protocol is the one place that talks, so that the modules
/// inside database servers need nothing else.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("countersign-ipc", "client.rs", "std::os::unix::net"),
    ("countersign-ipc", "client.rs", "Instant::now"),
];

/// One line for each banned path in the Rust files under `src`.
pub(crate) fn violations(package: &str, src: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in rust_files(src)? {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(src).unwrap_or(&file).display().to_string();
        let banned = banned_in(&text).with_context(|| format!("cannot read {} as Rust", file.display()))?;
        let allowed = |path: &str| ALLOWED.contains(&(package, name.as_str(), path));
        found.extend(
            banned.into_iter().filter(|(path, _)| !allowed(path)).map(|(path, instead)| {
                format!("`{package}` must stay pure: {name} names `{path}`: {instead}")
            }),
        );
    }
    Ok(found)
}

/// Files of unit tests are `tests.rs`, or lie in a folder `tests`.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn banned_in(text: &str) -> Result<Vec<(&'static str, &'static str)>> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow!("{error}"))?;
    let mut paths = Vec::new();
    collect_paths(tokens, "", &mut paths);
    let names = |path: &String, banned: &str| format!("::{path}::").contains(&format!("::{banned}::"));
    Ok(BANNED.iter().filter(|(banned, _)| paths.iter().any(|path| names(path, banned))).copied().collect())
}

/// Every path in `tokens`, with those in braces written out: `std::{env, fs::File}` is `std::env` and
/// `std::fs::File`.
fn collect_paths(tokens: TokenStream, prefix: &str, paths: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut path = prefix.to_owned();
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        rest = after;
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => rest = skip_if_test(rest),
            TokenTree::Punct(punct) if punct.as_char() == ':' => {}
            TokenTree::Ident(name) => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(&name.to_string());
                if !continues(rest) {
                    paths.push(std::mem::replace(&mut path, prefix.to_owned()));
                }
            }
            TokenTree::Group(group) => {
                // A path before the group went on into it only if `::` came last.
                let inner = if group.delimiter() == Delimiter::Brace { path.as_str() } else { "" };
                collect_paths(group.stream(), inner, paths);
                path = prefix.to_owned();
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => path = prefix.to_owned(),
        }
    }
}

/// Whether `::` follows.
fn continues(rest: &[TokenTree]) -> bool {
    let colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    matches!(rest, [first, second, ..] if colon(first) && colon(second))
}

/// What follows after `#`: without the attribute and its item if that is only compiled for tests.
fn skip_if_test(rest: &[TokenTree]) -> &[TokenTree] {
    let (inner, attribute, after) = match rest {
        [TokenTree::Group(attribute), after @ ..] => (false, attribute, after),
        [TokenTree::Punct(bang), TokenTree::Group(attribute), after @ ..] if bang.as_char() == '!' => {
            (true, attribute, after)
        }
        _ => return rest,
    };
    if attribute.stream().to_string().replace(' ', "") != "cfg(test)" {
        return after;
    }
    if inner {
        return &[];
    }
    let ends_item = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    let end = after.iter().position(ends_item).map_or(after.len(), |last| last + 1);
    after.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banned(text: &str) -> Vec<&'static str> {
        banned_in(text).unwrap().into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn sees_paths_however_they_are_written() {
        assert_eq!(banned("fn f() -> u64 { std::time::SystemTime::now().x() }"), ["SystemTime::now"]);
        assert_eq!(banned("use std::{collections::BTreeMap, env, fs::File};"), ["std::env", "std::fs"]);
        assert_eq!(
            banned("use std::{net::{IpAddr, TcpStream}, os::unix::net::UnixStream};"),
            ["std::net::TcpStream", "std::os::unix::net"]
        );
        assert_eq!(banned("struct S; impl S { fn f(&self) { g(1, ::std::env::var(\"A\")) } }"), ["std::env"]);
        assert_eq!(banned("#[inline] fn f() { Instant::now(); }"), ["Instant::now"]);
    }

    #[test]
    fn leaves_the_rest_in_peace() {
        let harmless = r##"
            //! Never calls std::env::var or SystemTime::now.
            use std::net::IpAddr;
            use std::time::{Duration, SystemTime};
            /// Not std::fs.
            const TEXT: &str = r#"std::env"#;
            fn f(std: u8) -> u8 { match std { env => env } }
            mod fs { pub fn now() {} }
            #[cfg(test)]
            use std::fs;
            #[cfg(test)]
            mod tests { #[test] fn t() { std::fs::read("x").unwrap(); } }
        "##;
        assert_eq!(banned(harmless), Vec::<&str>::new());
        assert_eq!(banned("#![cfg(test)] use std::fs;"), Vec::<&str>::new());
        assert_eq!(banned("#[cfg(test)] mod tests; use std::fs;"), ["std::fs"]);
    }
}
