@file:JvmName("Assert")

package org.junit.Assert

fun assertTrue(message: String, condition: Boolean) {
    if (!condition) throw AssertionError(message)
}

fun assertArrayEquals(expected: IntArray, found: IntArray) {
    if (!expected.contentEquals(found)) throw AssertionError(found.joinToString())
}
