//! Links the addon so that its image stays mapped for the life of the process: a worker's clean-up may still run in it
//! after Node has let go of the last handle.

fn main() {
    napi_build::setup();
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
