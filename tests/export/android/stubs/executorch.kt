// Signatures of org.pytorch:executorch-android 1.x, as far as the generated sources call them.
package org.pytorch.executorch

import java.io.File
import pfd.stubs.RecordedModel

class Tensor private constructor(private val index: Int, val feed: () -> Unit) {
    val dataAsFloatArray: FloatArray get() = RecordedModel.floats(index)
    val dataAsIntArray: IntArray get() = RecordedModel.ints(index)

    companion object {
        @JvmStatic
        fun fromBlob(data: FloatArray, shape: LongArray): Tensor {
            check(shape.reduce(Long::times) == data.size.toLong())
            return Tensor(0) { RecordedModel.feed(data) }
        }

        @JvmStatic
        fun fromBlobUnsigned(data: ByteArray, shape: LongArray): Tensor {
            check(shape.reduce(Long::times) == data.size.toLong())
            return Tensor(0) { RecordedModel.feed(data) }
        }

        internal fun output(index: Int) = Tensor(index) {}
    }
}

class EValue private constructor(private val tensor: Tensor) {
    fun toTensor(): Tensor = tensor

    companion object {
        @JvmStatic fun from(tensor: Tensor) = EValue(tensor)
    }
}

class Module private constructor() {
    fun forward(vararg inputs: EValue): Array<EValue> {
        inputs.forEach { it.toTensor().feed() }
        RecordedModel.run()
        return Array(2) { EValue.from(Tensor.output(it)) }
    }

    fun destroy() {}

    companion object {
        @JvmStatic
        fun load(modelPath: String): Module {
            check(File(modelPath).isFile)
            return Module()
        }
    }
}
