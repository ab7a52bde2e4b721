//! Tells the program how it was optimised, so that it can warn whoever measures with it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo:rustc-env=LIMEN_OPT_LEVEL={level}");
}
