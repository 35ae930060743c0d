// Signatures of com.google.ai.edge.litert:litert 2.x, as far as the generated sources call them.
package com.google.ai.edge.litert

import android.content.res.AssetManager
import pfd.stubs.RecordedModel

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(message: String) : Exception(message)

class TensorBuffer internal constructor(private val index: Int) : AutoCloseable {
    fun writeInt(data: IntArray): Unit = throw LiteRtException("not fed")

    fun writeFloat(data: FloatArray) = RecordedModel.feed(data)

    fun writeInt8(data: ByteArray) = RecordedModel.feed(data)

    fun readInt(): IntArray = RecordedModel.ints(index)

    fun readFloat(): FloatArray = RecordedModel.floats(index)

    override fun close() {}
}

class CompiledModel private constructor(private val outputs: Int) : AutoCloseable {
    class Options(internal vararg val accelerators: Accelerator) {
        companion object {
            @JvmStatic val CPU = Options(Accelerator.CPU)
        }
    }

    @JvmOverloads
    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = listOf(TensorBuffer(0))

    @JvmOverloads
    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> =
        List(outputs) { TensorBuffer(it) }

    @JvmOverloads
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0) =
        RecordedModel.run()

    override fun close() {}

    companion object {
        @JvmStatic
        @JvmOverloads
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options = Options.CPU,
        ): CompiledModel {
            assetManager.open(assetName).close()
            return CompiledModel(2)
        }
    }
}
