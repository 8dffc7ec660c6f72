;; A filter that keeps every record: what a plugin costs beside it is its own.
;;
;; Its configuration is the columns to ask for, as a letter: `A` plus their bits. What it is handed
;; lies at the end of its memory and is forgotten with the next batch.
(module
  (memory (export "memory") 2)
  ;; Answers lie at 16; what is handed over begins here.
  (global $start i32 (i32.const 64))
  (global $next (mut i32) (i32.const 64))

  (func $take (param $align i32) (param $size i32) (result i32)
    (local $at i32)
    (local $end i32)
    (local $missing i32)
    (local.set $at
      (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (local.set $missing (i32.sub (local.get $end) (i32.shl (memory.size) (i32.const 16))))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then
        (if (i32.lt_s
              (memory.grow (i32.shr_u (i32.add (local.get $missing) (i32.const 65535)) (i32.const 16)))
              (i32.const 0))
          (then unreachable))))
    (global.set $next (local.get $end))
    (local.get $at))

  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (call $take (local.get $align) (local.get $size)))

  (func (export "configure") (param $config i32) (param $len i32) (result i32)
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store8 (i32.const 20) (i32.sub (i32.load8_u (local.get $config)) (i32.const 65)))
    (i32.const 16))

  ;; The batch's count is the first thing in it.
  (func (export "filter") (param $batch i32) (result i32)
    (local $bytes i32)
    (local $bitmap i32)
    (local.set $bytes
      (i32.shr_u (i32.add (i32.load (local.get $batch)) (i32.const 7)) (i32.const 3)))
    (local.set $bitmap (call $take (i32.const 1) (local.get $bytes)))
    (memory.fill (local.get $bitmap) (i32.const 255) (local.get $bytes))
    (i32.store (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 0))
    (i32.store (i32.const 24) (local.get $bitmap))
    (i32.store (i32.const 28) (local.get $bytes))
    (i32.store (i32.const 32) (i32.const 0))
    (i32.store (i32.const 36) (i32.const 0))
    (i32.const 16))

  (func $forget (param i32) (global.set $next (global.get $start)))
  (export "cabi_post_configure" (func $forget))
  (export "cabi_post_filter" (func $forget))
  (func (export "_initialize")))
