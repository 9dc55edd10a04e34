// Marks the module's folder, as -modfile wants it. What each generation needs is in v6.mod, v3.mod and v2.mod.
module micro-on-nats/interop

go 1.25.0
